package jsonsize

import (
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// field is a field of a struct, or of a struct that is embedded in it.
type field struct {
	typ      reflect.Type
	embedded int  // memory of the embedded structs above it that are pointers
	quoted   bool // its JSON is within a string
	tagged   bool
}

// fields has the fields of a struct by the names of encoding/json. A field is nil if its name is ambiguous.
type fields struct {
	byName   map[string]*field
	byFolded map[string]*field
}

func (f *fields) find(name []byte) *field {
	if field, ok := f.byName[string(name)]; ok {
		return field
	}
	return f.byFolded[fold(name)]
}

var fieldsCache sync.Map // *fields by reflect.Type

func fieldsOf(t reflect.Type) *fields {
	if f, ok := fieldsCache.Load(t); ok {
		return f.(*fields)
	}
	f := &fields{byName: make(map[string]*field), byFolded: make(map[string]*field)}
	level := []embedded{{typ: t}}
	for visited := map[reflect.Type]bool{t: true}; len(level) > 0; {
		level = f.addLevel(level, visited)
	}
	for name, field := range f.byName {
		if folded := fold([]byte(name)); f.byFolded[folded] == nil {
			f.byFolded[folded] = field
		}
	}
	fieldsCache.Store(t, f)
	return f
}

// embedded is a struct whose fields count as those of an outer one.
type embedded struct {
	typ      reflect.Type
	pointers int // memory of it and of those above that are pointers
}

// addLevel adds the fields of structs that are embedded at the same depth: fields of a lesser depth hide them. It returns the
// structs of the next depth.
func (f *fields) addLevel(level []embedded, visited map[reflect.Type]bool) (next []embedded) {
	found := make(map[string]*field)
	for _, e := range level {
		for sf := range e.typ.Fields() {
			inner := sf.Type
			if inner.Kind() == reflect.Pointer && inner.Name() == "" {
				inner = inner.Elem()
			}
			if !sf.IsExported() && !(sf.Anonymous && inner.Kind() == reflect.Struct) {
				continue
			}
			name, options, ok := tag(sf.Tag.Get("json"))
			switch {
			case !ok:
				continue
			case name == "" && sf.Anonymous && inner.Kind() == reflect.Struct:
				if !visited[inner] {
					visited[inner] = true
					pointers := e.pointers
					if inner != sf.Type {
						pointers += object(inner)
					}
					next = append(next, embedded{inner, pointers})
				}
				continue
			}
			n := &field{typ: sf.Type, embedded: e.pointers, tagged: name != "", quoted: hasOption(options, "string")}
			if name == "" {
				name = sf.Name
			}
			switch other, exists := found[name]; {
			case !exists, other != nil && n.tagged && !other.tagged:
				found[name] = n
			case other != nil && n.tagged == other.tagged:
				found[name] = nil
			}
		}
	}
	for name, field := range found {
		if _, hidden := f.byName[name]; !hidden {
			f.byName[name] = field
		}
	}
	return next
}

// tag returns the name and the options of a struct tag, and false if the field is left out.
func tag(text string) (name, options string, ok bool) {
	if text == "-" {
		return "", "", false
	}
	name, options, _ = strings.Cut(text, ",")
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return "", options, true
		}
	}
	return name, options, true
}

func hasOption(options, name string) bool {
	for options != "" {
		var o string
		if o, options, _ = strings.Cut(options, ","); o == name {
			return true
		}
	}
	return false
}

// fold makes names equal that encoding/json takes for the same.
func fold(name []byte) string {
	out := make([]byte, 0, 32)
	for len(name) > 0 {
		r, n := utf8.DecodeRune(name)
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				r = next
				break
			}
			r = next
		}
		out = utf8.AppendRune(out, r)
		name = name[n:]
	}
	return string(out)
}

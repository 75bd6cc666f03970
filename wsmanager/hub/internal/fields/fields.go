package fields

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Field is a field of a struct, or of a struct embedded in it.
type Field struct {
	Name   string
	Index  []int // see reflect.Value.FieldByIndex
	Type   reflect.Type
	Tag    string // the tag that has the name, or "" if Name is the Go name
	Quoted bool   // the option "string" for a number, a boolean or a text: the value is a text that holds JSON

	OmitEmpty, OmitZero bool
}

// Of returns the fields of struct type t in the order of their declarations. The first of the tags that a field has counts:
// its name, and its options as encoding/json defines them.
func Of(t reflect.Type, tags ...string) []Field {
	type level struct {
		typ   reflect.Type
		index []int
	}
	var all []Field
	visited := map[reflect.Type]bool{}
	count := map[reflect.Type]int{}
	for next := []level{{typ: t}}; len(next) > 0; {
		current, previous := next, count
		next, count = nil, map[reflect.Type]int{}
		for _, l := range current {
			if visited[l.typ] {
				continue
			}
			visited[l.typ] = true
			for i := range l.typ.NumField() {
				f, embedded, ok := inspect(l.typ.Field(i), tags)
				if !ok {
					continue
				}
				f.Index = append(slices.Clone(l.index), i)
				if embedded != nil {
					if count[embedded]++; count[embedded] == 1 {
						next = append(next, level{embedded, f.Index})
					}
					continue
				}
				all = append(all, f)
				if previous[l.typ] > 1 {
					all = append(all, f) // the type is embedded several times at this depth: its names hide each other
				}
			}
		}
	}
	return dominant(all)
}

// inspect returns a field. embedded is the struct type whose fields count in its place.
func inspect(sf reflect.StructField, tags []string) (f Field, embedded reflect.Type, ok bool) {
	inner := sf.Type
	if sf.Anonymous {
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if !sf.IsExported() && inner.Kind() != reflect.Struct {
			return f, nil, false
		}
	} else if !sf.IsExported() {
		return f, nil, false
	}
	text, tag := "", ""
	for _, t := range tags {
		if text = sf.Tag.Get(t); text != "" {
			tag = t
			break
		}
	}
	if text == "-" {
		return f, nil, false
	}
	name, options, _ := strings.Cut(text, ",")
	if !validName(name) {
		name = ""
	}
	if name == "" && sf.Anonymous && inner.Kind() == reflect.Struct {
		return f, inner, true
	}
	f = Field{Name: name, Type: sf.Type, Tag: tag}
	if name == "" {
		f.Name, f.Tag = sf.Name, ""
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			f.OmitEmpty = true
		case "omitzero":
			f.OmitZero = true
		case "string":
			f.Quoted = quotable(sf.Type)
		}
	}
	return f, nil, true
}

// validName reports whether encoding/json accepts the name in a tag.
func validName(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return true
}

func quotable(t reflect.Type) bool {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.String:
		return true
	}
	return false
}

// dominant removes the fields that others hide by Go's rules for embedded fields, modified by tags: of fields with one name
// the least deep counts, then the one whose name is from a tag, and none if that leaves several.
func dominant(all []Field) []Field {
	slices.SortStableFunc(all, func(a, b Field) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(len(a.Index), len(b.Index)), compareTagged(a, b))
	})
	var out []Field
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Name == all[0].Name {
			n++
		}
		if n == 1 || len(all[0].Index) != len(all[1].Index) || compareTagged(all[0], all[1]) != 0 {
			out = append(out, all[0])
		}
		all = all[n:]
	}
	slices.SortFunc(out, func(a, b Field) int { return slices.Compare(a.Index, b.Index) })
	return out
}

// compareTagged orders a field with a tag before one without.
func compareTagged(a, b Field) int {
	switch {
	case a.Tag != "" && b.Tag == "":
		return -1
	case a.Tag == "" && b.Tag != "":
		return 1
	}
	return 0
}

// Fold returns a form of a name that is equal for names that encoding/json takes for the same.
func Fold(name []byte) string {
	var buf [32]byte
	out := buf[:0]
	for i := 0; i < len(name); {
		if c := name[i]; c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			out = append(out, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(name[i:])
		for { // the smallest rune of those that only differ in case
			next := unicode.SimpleFold(r)
			if next <= r {
				r = next
				break
			}
			r = next
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	return string(out)
}

package typescript

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is a member of the object for a struct.
type field struct {
	name     string
	typ      reflect.Type
	optional bool // the member may be absent
	quoted   bool // encoding/json writes the value as a text
	tagged   bool
	depth    int
	order    []int // indexes of the field and of the structs that embed it
}

// embedded is a struct whose fields are those of another.
type embedded struct {
	typ      reflect.Type
	optional bool // behind a pointer
	order    []int
}

// fields returns the members of a struct in the order of its fields, by the rules of encoding/json: embedded structs are
// flattened; of several fields with one name the one at the least depth counts, then the one with a tag, otherwise none.
func (g *generator) fields(t reflect.Type) []field {
	var all []field
	seen := map[reflect.Type]bool{t: true}
	level := []embedded{{typ: t}}
	for depth := 0; len(level) > 0; depth++ {
		var next []embedded
		for _, e := range level {
			for i := range e.typ.NumField() {
				f, inner := g.field(e, i)
				switch {
				case inner != nil:
					next = append(next, *inner)
				case f != nil:
					f.depth = depth
					all = append(all, *f)
				}
			}
		}
		level = slices.DeleteFunc(next, func(e embedded) bool { return seen[e.typ] })
		for _, e := range level {
			seen[e.typ] = true // a type that is embedded twice at this depth stays twice: its fields exclude each other
		}
	}
	all = dominant(all)
	slices.SortStableFunc(all, func(a, b field) int { return slices.Compare(a.order, b.order) })
	return all
}

// field inspects one field of a struct. It returns a member, an embedded struct, or neither for a field that is not encoded.
func (g *generator) field(e embedded, i int) (*field, *embedded) {
	sf := e.typ.Field(i)
	order := append(slices.Clone(e.order), i)
	target := sf.Type
	if target.Name() == "" && target.Kind() == reflect.Pointer {
		target = target.Elem()
	}
	if !sf.IsExported() && (!sf.Anonymous || target.Kind() != reflect.Struct) {
		return nil, nil
	}
	tag := g.tag(sf)
	if tag == "-" {
		return nil, nil
	}
	name, options, _ := strings.Cut(tag, ",")
	if !validName(name) {
		name = ""
	}
	if name == "" && sf.Anonymous && target.Kind() == reflect.Struct {
		return nil, &embedded{target, e.optional || sf.Type.Kind() == reflect.Pointer, order}
	}
	has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
	return &field{
		name:     cmp.Or(name, sf.Name),
		typ:      sf.Type,
		optional: e.optional || has("omitempty") || has("omitzero"),
		quoted:   has("string") && quotable(target),
		tagged:   name != "",
		order:    order,
	}, nil
}

// tag returns the tag that names the field.
func (g *generator) tag(sf reflect.StructField) string {
	if g.hub.MessagePack && !g.hub.JSON {
		if tag, found := sf.Tag.Lookup("msgpack"); found {
			return tag
		}
	}
	return sf.Tag.Get("json")
}

// dominant leaves at most one field for each name.
func dominant(all []field) []field {
	byName := make(map[string][]field)
	for _, f := range all {
		byName[f.name] = append(byName[f.name], f)
	}
	var out []field
	for _, name := range sortedKeys(byName) {
		rank := func(f field) int {
			if f.tagged {
				return 2 * f.depth
			}
			return 2*f.depth + 1
		}
		fields := byName[name]
		slices.SortStableFunc(fields, func(a, b field) int { return rank(a) - rank(b) })
		if len(fields) == 1 || rank(fields[0]) != rank(fields[1]) {
			out = append(out, fields[0])
		}
	}
	return out
}

// validName reports whether encoding/json accepts the name of a tag.
func validName(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return name != ""
}

// quotable reports whether the option "string" has an effect.
func quotable(t reflect.Type) bool {
	k := t.Kind()
	return k == reflect.Bool || k == reflect.String || reflect.Int <= k && k <= reflect.Float64
}

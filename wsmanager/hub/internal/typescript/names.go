package typescript

import (
	"cmp"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// taken are names that a declared type must not have: those that the module declares, imports or uses.
var taken = []string{
	"Bytes", "ClientMethods", "Date", "HubConnection", "HubEvents", "HubMethods", "HubStreams", "IStreamResult", "Int64",
	"Omit", "Parameters", "Promise", "Record", "ReturnType", "Time", "TypedConnection", "Uint8Array",
}

func newGenerator(h *Hub) *generator {
	g := &generator{hub: h, used: make(map[string]bool)}
	var found []reflect.Type
	for _, funcs := range [][]Func{h.Methods, h.Streams, h.Events, h.ClientMethods} {
		for _, f := range funcs {
			for _, p := range f.Params {
				found = g.collect(found, p.Type)
			}
			if f.Result != nil {
				found = g.collect(found, f.Result)
			}
		}
	}
	g.names = nameTypes(found)
	return g
}

// collect appends the types in t that are declared with a name. They may contain themselves.
func (g *generator) collect(found []reflect.Type, t reflect.Type) []reflect.Type {
	for n := 0; t.Kind() == reflect.Pointer; t = t.Elem() {
		if n++; n > 100 {
			return found // a type of pointers to itself
		}
	}
	if slices.Contains(found, t) || slices.Contains(g.hub.Unknown, t) || t == typeTime || t == typeBigInt || t == typeDuration || t == typeRawMessage ||
		implements(t, describesItself) || implements(t, marshalsJSON) || implements(t, marshalsText) {
		return found
	}
	if t.Kind() == reflect.Struct && isTuple(t) && g.hub.MessagePack {
		return found
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		if t.Name() != "" && !isBytes(t) {
			found = append(found, t)
		}
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return g.collect(found, t.Elem())
	case reflect.Struct:
		for _, f := range g.hub.Fields(t) {
			found = g.collect(found, f.Type)
		}
	}
	return found
}

// nameTypes gives each type a name of its own. A name that several types would have, or that the module needs, gets the name
// of the package in front, then a number.
func nameTypes(types []reflect.Type) map[reflect.Type]string {
	types = slices.Clone(types)
	slices.SortStableFunc(types, func(a, b reflect.Type) int {
		return cmp.Or(strings.Compare(a.PkgPath(), b.PkgPath()), strings.Compare(a.Name(), b.Name()))
	})
	plain := make(map[string]int)
	for _, t := range types {
		plain[typeName(t)]++
	}
	used := make(map[string]bool)
	for _, name := range taken {
		plain[name]++
		used[name] = true
	}
	for name := range maps.Keys(plain) {
		used[name] = used[name] || plain[name] == 1 // another name must not become one of these
	}
	names := make(map[reflect.Type]string)
	for _, t := range types {
		name := typeName(t)
		if plain[name] == 1 {
			names[t] = name
			continue
		}
		pkg, _, _ := strings.Cut(t.String(), ".")
		name = joined(pkg) + name
		unique := name
		for n := 2; used[unique]; n++ {
			unique = name + strconv.Itoa(n)
		}
		used[unique] = true
		names[t] = unique
	}
	return names
}

// A generic type is named like Page[example.com/shop.Order,[]int].
var words = regexp.MustCompile(`[\pL\pN_./\-~]+`)

// typeName returns a type's name as an identifier: PageOrderInt for the example above.
func typeName(t reflect.Type) string {
	var b strings.Builder
	for _, w := range words.FindAllString(t.Name(), -1) {
		w = path.Base(w)
		b.WriteString(capitalized(w[strings.LastIndexByte(w, '.')+1:]))
	}
	return b.String()
}

// joined makes an identifier of the words in the name of a package.
func joined(s string) string {
	var b strings.Builder
	for w := range strings.FieldsFuncSeq(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		b.WriteString(capitalized(w))
	}
	return b.String()
}

func capitalized(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

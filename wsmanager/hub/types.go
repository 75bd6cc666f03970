package hub

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/dotnet"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/fields"
)

// typeFacts say what values of a type may contain, except inside types with their own encoding.
type typeFacts struct {
	any      bool // an any, in which numbers keep their digits
	array    bool // a Go array, which may be too short for the elements that arrive
	duration bool // a time.Duration, which no protocol may encode
	key      bool // a map with keys of a type that is not one of names: releases of encoding/json differ in those
	address  bool // a type that encodes itself by a method of its pointer
}

var (
	typeTime     = reflect.TypeFor[time.Time]()
	typeDuration = reflect.TypeFor[time.Duration]()
	dotnetPath   = reflect.TypeFor[dotnet.TimeSpan]().PkgPath()
)

var typeFactsCache sync.Map // typeFacts by reflect.Type

func factsOf(t reflect.Type) typeFacts {
	if f, ok := typeFactsCache.Load(t); ok {
		return f.(typeFacts)
	}
	var f typeFacts
	f.add(t, map[reflect.Type]bool{})
	f.address = fields.HasPointerMethods(t, []reflect.Type{typeJSONMarshaler, typeTextMarshaler}, "json")
	typeFactsCache.Store(t, f)
	return f
}

func (f *typeFacts) add(t reflect.Type, visited map[reflect.Type]bool) {
	if visited[t] || hasOwnEncoding(t) {
		return
	}
	visited[t] = true
	switch t.Kind() {
	case reflect.Int64:
		f.duration = f.duration || t == typeDuration
	case reflect.Interface:
		f.any = f.any || t.NumMethod() == 0
	case reflect.Array:
		f.array = true
		f.add(t.Elem(), visited)
	case reflect.Map:
		f.key = f.key || !isKey(t.Key())
		f.add(t.Key(), visited)
		f.add(t.Elem(), visited)
	case reflect.Pointer, reflect.Slice:
		f.add(t.Elem(), visited)
	case reflect.Struct:
		for _, field := range jsonFieldsOf(t).list {
			f.add(field.Type, visited)
		}
	}
}

// isKey reports whether values of the type can be names of members: texts, integers, and types that are texts.
func isKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return implements(t, typeTextMarshaler) || implements(t, typeTextUnmarshaler)
}

// jsonFields are the fields of a struct type as encoding/json sees them.
type jsonFields struct {
	list  []fields.Field
	types map[string]reflect.Type // by name, and by folded name
}

var jsonFieldsCache sync.Map // *jsonFields by reflect.Type

func jsonFieldsOf(t reflect.Type) *jsonFields {
	if f, ok := jsonFieldsCache.Load(t); ok {
		return f.(*jsonFields)
	}
	f := &jsonFields{list: fields.Of(t, "json"), types: make(map[string]reflect.Type)}
	for _, field := range slices.Backward(f.list) { // of several fields with one folded name the first counts
		f.types[fields.Fold([]byte(field.Name))] = field.Type
	}
	for _, field := range f.list {
		f.types[field.Name] = field.Type
	}
	jsonFieldsCache.Store(t, f)
	return f
}

var (
	typeJSONMarshaler   = reflect.TypeFor[json.Marshaler]()
	typeJSONUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	typeTextMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	typeTextUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	typeMsgpack         = reflect.TypeFor[interface{ UnmarshalMsgpack([]byte) error }]()
)

func hasOwnEncoding(t reflect.Type) bool {
	return implements(t, typeJSONMarshaler) || implements(t, typeJSONUnmarshaler) || implements(t, typeTextMarshaler) || implements(t, typeTextUnmarshaler)
}

// implements reports whether the type, or a pointer to it, implements an interface.
func implements(t, i reflect.Type) bool {
	return t.Implements(i) || t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(i)
}

// durationHint is what to write instead of a time.Duration.
const durationHint = "a time.Duration, of which clients cannot know that it counts nanoseconds (a TimeSpan of .NET counts 100 ns): use dotnet.TimeSpan, or a number whose name has the unit"

// scalar reports whether null is not a valid value of the type: numbers, booleans, time.Time, the types of package dotnet, and
// types that are texts. It is false for types that decode null themselves.
func scalar(t reflect.Type) bool {
	switch {
	case t == typeTime, t.PkgPath() == dotnetPath:
		return true
	case implements(t, typeJSONUnmarshaler), implements(t, typeMsgpack):
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return false
	}
	return implements(t, typeTextUnmarshaler)
}

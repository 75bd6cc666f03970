package jsonsize

import (
	"reflect"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/fields"
)

// field is a field of a struct, or of a struct that is embedded in it.
type field struct {
	typ      reflect.Type
	embedded int  // memory of the embedded structs above it that are pointers
	quoted   bool // its JSON is within a string
}

// structFields has the fields of a struct by the names of encoding/json.
type structFields struct {
	byName   map[string]*field
	byFolded map[string]*field
}

func (s *structFields) find(name []byte) *field {
	if f := s.byName[string(name)]; f != nil {
		return f
	}
	return s.byFolded[fields.Fold(name)]
}

var fieldsCache sync.Map // *structFields by reflect.Type

func fieldsOf(t reflect.Type) *structFields {
	if s, ok := fieldsCache.Load(t); ok {
		return s.(*structFields)
	}
	s := &structFields{byName: make(map[string]*field), byFolded: make(map[string]*field)}
	for _, f := range fields.Of(t, "json") {
		n := &field{typ: f.Type, embedded: embedded(t, f.Index), quoted: f.Quoted}
		s.byName[f.Name] = n
		if folded := fields.Fold([]byte(f.Name)); s.byFolded[folded] == nil {
			s.byFolded[folded] = n
		}
	}
	fieldsCache.Store(t, s)
	return s
}

// embedded returns the memory of the structs on the way to a field that are pointers.
func embedded(t reflect.Type, index []int) (n int) {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
			n += object(t)
		}
	}
	return n
}

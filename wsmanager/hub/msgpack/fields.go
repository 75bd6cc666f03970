package msgpack

import (
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/fields"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// structType has the fields of a struct type.
type structType struct {
	fields  []field
	exact   map[string]*field // by the names that are sent, and those of the tags
	folded  map[string]*field
	asArray bool // the values are an array without names
}

type field struct {
	fields.Field
	sent []byte // the encoded name
	enc  *plan
	dec  *plan
}

// newStructType finds the fields of a struct. Their plans are missing.
func (p *protocol) newStructType(t reflect.Type) *structType {
	list := fields.Of(t, p.tags...)
	s := &structType{fields: make([]field, len(list)), exact: make(map[string]*field), folded: make(map[string]*field)}
	add := func(m map[string]*field, name string, f *field) {
		if _, ok := m[name]; !ok {
			m[name] = f
		}
	}
	for i, f := range list {
		s.fields[i].Field = f
		sent := p.sentName(f)
		s.fields[i].sent = mpack.AppendString(nil, sent)
		add(s.exact, sent, &s.fields[i])
	}
	for i := range s.fields {
		f := &s.fields[i]
		name, _, _ := mpack.KeyText(f.sent)
		add(s.exact, f.Name, f)
		add(s.folded, fields.Fold([]byte(name)), f)
		add(s.folded, fields.Fold([]byte(f.Name)), f)
	}
	if marker, ok := t.FieldByName("_msgpack"); ok && len(marker.Index) == 1 {
		s.asArray = marker.Tag.Get("msgpack") == ",as_array"
	}
	return s
}

// Fields returns the fields of a struct with the names that are sent. Package hub describes them in TypeScript.
func (p *protocol) Fields(t reflect.Type) []fields.Field {
	list := fields.Of(t, p.tags...)
	for i := range list {
		list[i].Name = p.sentName(list[i])
	}
	return list
}

// sentName returns the name under which a field is sent.
func (p *protocol) sentName(f fields.Field) string {
	if p.name != nil && f.Tag != "msgpack" {
		return p.name(f.Name)
	}
	return f.Name
}

// find returns the field with a received name, or nil.
func (s *structType) find(name []byte) *field {
	if f := s.exact[string(name)]; f != nil {
		return f
	}
	return s.folded[fields.Fold(name)]
}

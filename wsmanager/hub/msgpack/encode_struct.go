package msgpack

import (
	"encoding/json"
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

func (p *protocol) encodeStruct(b *builder, t reflect.Type) func(e *encoder, v reflect.Value) error {
	s := p.newStructType(t)
	optional := false
	for i := range s.fields {
		f := &s.fields[i]
		f.enc = b.of(f.Type)
		if f.Quoted {
			f.enc = &plan{encode: encodeQuoted}
		}
		optional = optional || f.OmitEmpty || f.OmitZero || len(f.Index) > 1
	}
	if s.asArray {
		return s.encodeArray
	}
	if optional {
		return s.encodeSome
	}
	return s.encodeAll
}

// encodeAll encodes a struct whose fields are always there.
func (s *structType) encodeAll(e *encoder, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	e.out = mpack.AppendMap(e.out, len(s.fields))
	for i := range s.fields {
		f := &s.fields[i]
		e.out = append(e.out, f.sent...)
		if err := f.enc.encode(e, v.Field(f.Index[0])); err != nil {
			return err
		}
	}
	e.depth--
	return nil
}

// encodeSome encodes a struct some of whose fields may be omitted, or are in an embedded pointer that may be nil.
func (s *structType) encodeSome(e *encoder, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	values := make([]reflect.Value, len(s.fields)) // not valid for a field that is omitted
	n := 0
	for i := range s.fields {
		f := &s.fields[i]
		value, err := v.FieldByIndexErr(f.Index)
		if err != nil || f.OmitEmpty && isEmpty(value) || f.OmitZero && isZero(value) {
			continue
		}
		values[i] = value
		n++
	}
	e.out = mpack.AppendMap(e.out, n)
	for i, value := range values {
		if !value.IsValid() {
			continue
		}
		e.out = append(e.out, s.fields[i].sent...)
		if err := s.fields[i].enc.encode(e, value); err != nil {
			return err
		}
	}
	e.depth--
	return nil
}

// encodeArray encodes the values of all fields without names.
func (s *structType) encodeArray(e *encoder, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	e.out = mpack.AppendArray(e.out, len(s.fields))
	for i := range s.fields {
		value, err := v.FieldByIndexErr(s.fields[i].Index)
		if err != nil {
			e.out = mpack.AppendNil(e.out)
		} else if err := s.fields[i].enc.encode(e, value); err != nil {
			return err
		}
	}
	e.depth--
	return nil
}

// encodeQuoted encodes a field with the option "string" of encoding/json.
func encodeQuoted(e *encoder, v reflect.Value) error {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		e.out = mpack.AppendNil(e.out)
		return nil
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return err
	}
	e.out = mpack.AppendString(e.out, string(text))
	return nil
}

// isEmpty is the rule of the option "omitempty".
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// isZero is the rule of the option "omitzero".
func isZero(v reflect.Value) bool {
	type zeroer interface{ IsZero() bool }
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return true
	}
	if z, ok := v.Interface().(zeroer); ok {
		return z.IsZero()
	}
	if v.CanAddr() {
		if z, ok := v.Addr().Interface().(zeroer); ok {
			return z.IsZero()
		}
	}
	return v.IsZero()
}

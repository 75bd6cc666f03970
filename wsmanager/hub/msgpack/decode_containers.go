package msgpack

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

func decodePointer(elem *plan, t reflect.Type) decodeFunc {
	return func(d *decoder, v reflect.Value) error {
		if v.IsNil() {
			v.Set(reflect.New(t))
		}
		return elem.decode(d, v.Elem())
	}
}

func decodeSlice(b *builder, t reflect.Type) decodeFunc {
	elem, binary := b.of(t.Elem()), isBytes(t)
	return func(d *decoder, v reflect.Value) error {
		h, err := d.header()
		if err != nil {
			return err
		}
		switch {
		case h.Kind == mpack.Array:
			v.Set(reflect.MakeSlice(t, int(h.N), int(h.N))) // measure has limited its size
			return d.elements(elem, v)
		case binary && (h.Kind == mpack.Binary || h.Kind == mpack.String): // .NET takes both for a byte[]
			v.SetBytes(append([]byte{}, d.take(h.N)...))
			return nil
		}
		return mismatch(h.Kind, t)
	}
}

// elements decodes as many elements as v has.
func (d *decoder) elements(elem *plan, v reflect.Value) error {
	for i := range v.Len() {
		if err := elem.decode(d, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// decodeArray decodes a Go array. As in encoding/json, elements that do not arrive are zero; more than it has are an error.
func decodeArray(elem *plan, t reflect.Type) decodeFunc {
	binary := isByte(t.Elem())
	return func(d *decoder, v reflect.Value) error {
		h, err := d.header()
		if err != nil {
			return err
		}
		if h.Kind != mpack.Array && (h.Kind != mpack.Binary || !binary) {
			return mismatch(h.Kind, t)
		}
		if h.N > uint64(t.Len()) {
			return fmt.Errorf("%d elements for a %v", h.N, t)
		}
		v.SetZero()
		if h.Kind == mpack.Binary {
			for i, b := range d.take(h.N) {
				v.Index(i).SetUint(uint64(b))
			}
			return nil
		}
		return d.elements(elem, v.Slice(0, int(h.N)))
	}
}

func decodeMap(b *builder, t reflect.Type) decodeFunc {
	key := keyDecoder(t.Key())
	if key == nil {
		return func(*decoder, reflect.Value) error { return unsupported(t) }
	}
	elem := b.of(t.Elem())
	return func(d *decoder, v reflect.Value) error {
		h, err := d.header()
		if err != nil {
			return err
		}
		if h.Kind != mpack.Map {
			return mismatch(h.Kind, t)
		}
		if v.IsNil() {
			v.Set(reflect.MakeMapWithSize(t, int(min(h.N, maxHint))))
		}
		for range h.N {
			k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			if err := key(d, k); err != nil {
				return err
			}
			if err := elem.decode(d, e); err != nil {
				return err
			}
			v.SetMapIndex(k, e)
		}
		return nil
	}
}

// keyDecoder returns how keys of a type are decoded, or nil for types that cannot be keys. Texts may arrive for integers,
// because JavaScript has no other keys, and integers for texts.
func keyDecoder(t reflect.Type) decodeFunc {
	pt := reflect.PointerTo(t)
	switch {
	case pt.Implements(typeUnmarshaler):
		return decodeUnmarshaler
	case pt.Implements(typeTextUnmarshaler):
		return func(d *decoder, k reflect.Value) error {
			text, err := d.keyText()
			if err != nil {
				return err
			}
			return k.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
		}
	}
	switch t.Kind() {
	case reflect.String:
		return func(d *decoder, k reflect.Value) error {
			text, err := d.keyText()
			k.SetString(text)
			return err
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(d *decoder, k reflect.Value) error {
			text, err := d.keyText()
			if err != nil {
				return err
			}
			i, err := strconv.ParseInt(text, 10, t.Bits())
			k.SetInt(i)
			return err
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(d *decoder, k reflect.Value) error {
			text, err := d.keyText()
			if err != nil {
				return err
			}
			u, err := strconv.ParseUint(text, 10, t.Bits())
			k.SetUint(u)
			return err
		}
	}
	return nil
}

func (d *decoder) keyText() (text string, err error) {
	text, d.rest, err = mpack.KeyText(d.rest)
	return text, err
}

func (p *protocol) decodeStruct(b *builder, t reflect.Type) decodeFunc {
	s := p.newStructType(t)
	for i := range s.fields {
		f := &s.fields[i]
		f.dec = b.of(f.Type)
		if f.Quoted {
			f.dec = &plan{decode: keep(decodeQuoted)}
		}
	}
	return func(d *decoder, v reflect.Value) error {
		h, err := d.header()
		if err != nil {
			return err
		}
		switch {
		case h.Kind == mpack.Map:
			return s.decodeMembers(d, v, h.N)
		case h.Kind == mpack.Array && s.asArray:
			return s.decodeArray(d, v, h.N)
		}
		return mismatch(h.Kind, t)
	}
}

func (s *structType) decodeMembers(d *decoder, v reflect.Value, n uint64) error {
	for range n {
		name, err := d.text(v.Type())
		if err != nil {
			return err
		}
		f := s.find(name)
		if f == nil {
			if _, err := d.one(); err != nil {
				return err
			}
			continue
		}
		if err := f.decode(d, v); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// decodeArray decodes the values of the fields in their order. As in MessagePack for C#, an array may have fewer or more
// elements.
func (s *structType) decodeArray(d *decoder, v reflect.Value, n uint64) error {
	for i := range n {
		if i >= uint64(len(s.fields)) {
			if _, err := d.one(); err != nil {
				return err
			}
			continue
		}
		if err := s.fields[i].decode(d, v); err != nil {
			return fmt.Errorf("%s: %w", s.fields[i].Name, err)
		}
	}
	return nil
}

// decode decodes the field of struct v. Embedded pointers on the way are made.
func (f *field) decode(d *decoder, v reflect.Value) error {
	for i, index := range f.Index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return fmt.Errorf("the embedded pointer to the unexported type %v is nil", v.Type().Elem())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(index)
	}
	return f.dec.decode(d, v)
}

// decodeQuoted decodes a field with the option "string" of encoding/json.
func decodeQuoted(d *decoder, v reflect.Value) error {
	text, err := d.text(v.Type())
	if err != nil {
		return err
	}
	if bytes.Equal(text, []byte("null")) && v.Kind() != reflect.Pointer {
		return fmt.Errorf("null for the type %v", v.Type())
	}
	return json.Unmarshal(text, v.Addr().Interface())
}

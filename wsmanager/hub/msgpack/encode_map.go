package msgpack

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// entry is an entry of a map before it is encoded, with what its key is sorted by.
type entry struct {
	value  reflect.Value
	text   string // of a text, or the encoding of a key with MarshalMsgpack
	number int64  // of an integer; a uint64 keeps its order by a shift
}

// encodeMap encodes a map in the order of its keys. Like encoding/json, it takes texts, integers and types that are texts for
// keys; integers stay integers, as .NET needs them. Types with MarshalMsgpack encode themselves.
func encodeMap(b *builder, t reflect.Type) func(e *encoder, v reflect.Value) error {
	key, appendKey := keyEncoder(t.Key())
	if key == nil {
		return func(*encoder, reflect.Value) error { return unsupported(t) }
	}
	elem := b.of(t.Elem())
	return func(e *encoder, v reflect.Value) error {
		if v.IsNil() {
			e.out = mpack.AppendNil(e.out)
			return nil
		}
		if err := e.enter(); err != nil {
			return err
		}
		entries := make([]entry, 0, v.Len())
		for k, value := range v.Seq2() {
			en := entry{value: value}
			if err := key(k, &en); err != nil {
				return err
			}
			entries = append(entries, en)
		}
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.number, b.number)) })
		e.out = mpack.AppendMap(e.out, len(entries))
		for i := range entries {
			e.out = appendKey(e.out, &entries[i])
			if err := elem.encode(e, entries[i].value); err != nil {
				return err
			}
		}
		e.depth--
		return nil
	}
}

type (
	keyFunc       func(k reflect.Value, en *entry) error
	appendKeyFunc func(dst []byte, en *entry) []byte
)

// keyEncoder returns how keys of a type are read into an entry, and how they are encoded. key is nil for types that cannot be
// keys.
func keyEncoder(t reflect.Type) (key keyFunc, appendKey appendKeyFunc) {
	switch {
	case t.Implements(typeMarshaler):
		return encodedKey, func(dst []byte, en *entry) []byte { return append(dst, en.text...) }
	case t.Kind() == reflect.String:
		return func(k reflect.Value, en *entry) error { return en.setText(k.String()) }, appendTextKey
	case t.Implements(typeTextMarshaler):
		return textKey, appendTextKey
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(k reflect.Value, en *entry) error { en.number = k.Int(); return nil },
			func(dst []byte, en *entry) []byte { return mpack.AppendInt(dst, en.number) }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		const shift = 1 << 63
		return func(k reflect.Value, en *entry) error { en.number = int64(k.Uint() ^ shift); return nil },
			func(dst []byte, en *entry) []byte { return mpack.AppendUint(dst, uint64(en.number)^shift) }
	}
	return nil, nil
}

func appendTextKey(dst []byte, en *entry) []byte { return mpack.AppendString(dst, en.text) }

// setText sets a key that is a text.
func (en *entry) setText(text string) error {
	if text == mpack.RefusedKey {
		return fmt.Errorf("JavaScript refuses the key %q", text)
	}
	en.text = text
	return nil
}

func textKey(k reflect.Value, en *entry) error {
	if k.Kind() == reflect.Pointer && k.IsNil() {
		return en.setText("")
	}
	text, err := k.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return err
	}
	return en.setText(string(text))
}

func encodedKey(k reflect.Value, en *entry) error {
	p, err := k.Interface().(Marshaler).MarshalMsgpack()
	if err != nil {
		return err
	}
	if rest, err := skip(p); err != nil || len(rest) > 0 {
		return fmt.Errorf("MarshalMsgpack of %v did not return one value", k.Type())
	}
	en.text = string(p)
	return nil
}

package msgpack

import (
	"reflect"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// any encodes a value as value does, without reflection for the types that programs usually have in an any.
func (e *encoder) any(v any) error {
	switch v := v.(type) {
	case nil:
		e.out = mpack.AppendNil(e.out)
	case string:
		e.out = mpack.AppendString(e.out, v)
	case bool:
		e.out = mpack.AppendBool(e.out, v)
	case int:
		e.out = mpack.AppendInt(e.out, int64(v))
	case int64:
		e.out = mpack.AppendInt(e.out, v)
	case float64:
		e.out = mpack.AppendFloat64(e.out, v)
	case []any:
		return e.list(v)
	case map[string]any:
		return object(e, v, (*encoder).any)
	case map[string]string:
		return object(e, v, (*encoder).text)
	default:
		return e.value(reflect.ValueOf(v))
	}
	return nil
}

func (e *encoder) list(list []any) error {
	if list == nil {
		e.out = mpack.AppendNil(e.out)
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	e.out = mpack.AppendArray(e.out, len(list))
	for _, v := range list {
		if err := e.any(v); err != nil {
			return err
		}
	}
	e.depth--
	return nil
}

// object encodes a map in the order of its keys, as encodeMap does.
func object[V any](e *encoder, m map[string]V, value func(e *encoder, v V) error) error {
	if m == nil {
		e.out = mpack.AppendNil(e.out)
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	start := len(e.keys)
	for key := range m {
		e.keys = append(e.keys, key)
	}
	keys := e.keys[start:]
	slices.Sort(keys)
	e.out = mpack.AppendMap(e.out, len(m))
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
		e.out = mpack.AppendString(e.out, key)
		if err := value(e, m[key]); err != nil {
			return err
		}
	}
	e.keys = e.keys[:start]
	e.depth--
	return nil
}

func (e *encoder) text(s string) error {
	e.out = mpack.AppendString(e.out, s)
	return nil
}

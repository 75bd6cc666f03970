package msgpack

import (
	"bytes"
	"math"
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

func decodeInterface(d *decoder, v reflect.Value) error {
	value, err := d.any()
	if err != nil {
		return err
	}
	if value == nil {
		v.SetZero()
	} else {
		v.Set(reflect.ValueOf(value))
	}
	return nil
}

// any decodes a value into the types of an any. Maps have the keys that they have in JSON. skip has limited the recursion.
func (d *decoder) any() (any, error) {
	h, err := d.header()
	if err != nil {
		return nil, err
	}
	switch h.Kind {
	case mpack.Bool:
		return h.N == 1, nil
	case mpack.Int:
		if h.Negative || h.N <= math.MaxInt64 {
			return int64(h.N), nil
		}
		return h.N, nil
	case mpack.Float:
		return h.Float(), nil
	case mpack.String:
		return mpack.ValidText(string(d.take(h.N))), nil
	case mpack.Binary:
		return bytes.Clone(d.take(h.N)), nil
	case mpack.Extension:
		t, err := mpack.Time(d.take(h.N))
		if err != nil {
			return nil, err
		}
		return t, nil
	case mpack.Array:
		list := make([]any, h.N) // each element has a byte at least
		for i := range list {
			if list[i], err = d.any(); err != nil {
				return nil, err
			}
		}
		return list, nil
	case mpack.Map:
		m := make(map[string]any, min(h.N, maxHint))
		for range h.N {
			var key string
			if key, d.rest, err = mpack.KeyText(d.rest); err != nil {
				return nil, err
			}
			if m[key], err = d.any(); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	return nil, nil
}

// maxHint limits the entries for which a map has space before they are decoded.
const maxHint = 64

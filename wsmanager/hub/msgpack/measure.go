package msgpack

import (
	"errors"
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/fields"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// measure limits the memory of a value before it is decoded: an element of a slice, an array or a map takes its memory even if
// it is encoded in one byte, as nil or as an empty map. A value may take memoryFactor bytes for each of its bytes, and
// freeMemory more.
type measure struct {
	protocol *protocol
	left     uint64 // bytes
}

const (
	memoryFactor = 64
	freeMemory   = 1 << 20
)

var errTooLarge = errors.New("the value takes too much memory for its length")

// check measures the value in raw, which skip has checked.
func (p *protocol) check(raw []byte, t reflect.Type) error {
	if !p.mayGrow(t) {
		return nil
	}
	m := measure{p, freeMemory + memoryFactor*uint64(len(raw))}
	_, err := m.value(raw, t)
	return err
}

// charge counts n elements.
func (m *measure) charge(n uint64, size uintptr) error {
	if size > 0 && n > m.left/uint64(size) {
		return errTooLarge
	}
	m.left -= n * uint64(size)
	return nil
}

// value measures the first value of p without the variable itself, and returns the data after it.
func (m *measure) value(p []byte, t reflect.Type) (rest []byte, err error) {
	for t.Kind() == reflect.Pointer && p[0] != nilCode {
		t = t.Elem()
		if err := m.charge(1, t.Size()); err != nil {
			return nil, err
		}
	}
	if !m.protocol.mayGrow(t) {
		return mpack.Skip(p)
	}
	h, in, err := mpack.Read(p)
	if err != nil {
		return nil, err
	}
	switch kind := t.Kind(); {
	case kind == reflect.Struct && h.Kind == mpack.Map:
		return m.members(in, h.N, t)
	case kind == reflect.Struct && h.Kind == mpack.Array:
		return m.fields(in, h.N, t)
	case kind == reflect.Map && h.Kind == mpack.Map:
		if err := m.charge(h.N, t.Key().Size()+t.Elem().Size()); err != nil {
			return nil, err
		}
		return m.elements(in, h.N, t.Key(), t.Elem())
	case kind == reflect.Slice && h.Kind == mpack.Array:
		if err := m.charge(h.N, t.Elem().Size()); err != nil {
			return nil, err
		}
		return m.elements(in, h.N, t.Elem())
	case kind == reflect.Array && h.Kind == mpack.Array:
		return m.elements(in, h.N, t.Elem())
	}
	return mpack.Skip(p)
}

// elements measures n groups of values of these types.
func (m *measure) elements(in []byte, n uint64, types ...reflect.Type) (rest []byte, err error) {
	for range n {
		for _, t := range types {
			if in, err = m.value(in, t); err != nil {
				return nil, err
			}
		}
	}
	return in, nil
}

func (m *measure) members(in []byte, n uint64, t reflect.Type) (rest []byte, err error) {
	s := m.protocol.structOf(t)
	for range n {
		h, p, err := mpack.Read(in)
		if err != nil {
			return nil, err
		}
		if h.Kind != mpack.String {
			return nil, mismatch(h.Kind, t)
		}
		name := p[:h.N]
		if in = p[h.N:]; s.find(name) == nil {
			in, err = mpack.Skip(in)
		} else {
			in, err = m.value(in, s.find(name).Type)
		}
		if err != nil {
			return nil, err
		}
	}
	return in, nil
}

// fields measures the fields of a struct that is an array.
func (m *measure) fields(in []byte, n uint64, t reflect.Type) (rest []byte, err error) {
	s := m.protocol.structOf(t)
	for i := range n {
		if i < uint64(len(s.fields)) {
			in, err = m.value(in, s.fields[i].Type)
		} else {
			in, err = mpack.Skip(in)
		}
		if err != nil {
			return nil, err
		}
	}
	return in, nil
}

// structOf returns the fields of a struct type, without plans.
func (p *protocol) structOf(t reflect.Type) *structType {
	if s, ok := p.structs.Load(t); ok {
		return s.(*structType)
	}
	s := p.newStructType(t)
	p.structs.Store(t, s)
	return s
}

// mayGrow reports whether a value of the type may take more than memoryFactor bytes for one of its bytes.
func (p *protocol) mayGrow(t reflect.Type) bool {
	if may, ok := p.grows.Load(t); ok {
		return may.(bool)
	}
	may := p.findLarge(t, map[reflect.Type]bool{})
	p.grows.Store(t, may)
	return may
}

func (p *protocol) findLarge(t reflect.Type, visited map[reflect.Type]bool) bool {
	if visited[t] || hasOwnDecoding(t) {
		return false
	}
	visited[t] = true
	switch t.Kind() {
	case reflect.Map:
		return t.Key().Size()+t.Elem().Size() > memoryFactor || p.findLarge(t.Key(), visited) || p.findLarge(t.Elem(), visited)
	case reflect.Pointer, reflect.Slice:
		return t.Elem().Size() > memoryFactor || p.findLarge(t.Elem(), visited)
	case reflect.Array:
		return p.findLarge(t.Elem(), visited)
	case reflect.Struct:
		for _, f := range fields.Of(t, p.tags...) {
			if p.findLarge(f.Type, visited) {
				return true
			}
		}
	}
	return false
}

// hasOwnDecoding reports whether a type decodes itself.
func hasOwnDecoding(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return t == typeTime || p.Implements(typeUnmarshaler) || p.Implements(typeJSONUnmarshaler) || p.Implements(typeTextUnmarshaler)
}

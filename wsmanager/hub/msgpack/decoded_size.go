package msgpack

import (
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// A slice, an array or a map has memory for each element, also for one that is encoded in one byte: nil, or an empty map. A
// pointer has memory of its own for what it refers to. So a few bytes could make the library allocate many large structs. A
// value may take decodedFactor times its length and decodedExcess.
const (
	decodedFactor = 64
	decodedExcess = 1 << 20
)

func decodedLimit(raw hub.Raw) int { return decodedFactor*len(raw) + decodedExcess }

// DecodedSize implements hub.DecodedSizer.
func (p *protocol) DecodedSize(raw hub.Raw, t reflect.Type) int {
	if !composite(t) {
		return 0
	}
	if _, err := skip(raw); err != nil {
		return 0 // nothing is decoded
	}
	return p.checkedSize(raw, t)
}

// checkedSize is DecodedSize of a value that skip has checked.
func (p *protocol) checkedSize(raw hub.Raw, t reflect.Type) int {
	if !composite(t) {
		return 0
	}
	s := &sizer{tag: p.tag, limit: decodedLimit(raw)}
	s.value(raw, t)
	return s.size
}

// composite reports whether a value of the type may take memory besides its variable and its text.
func composite(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct, reflect.Pointer, reflect.Interface:
		return true
	}
	return false
}

// sizer estimates the memory of a value. It stops when that exceeds limit. Then its methods return nil instead of the data
// after a value.
type sizer struct {
	tag         string // see Options.Tag
	size, limit int
	failed      bool // the library will fail here
}

func (s *sizer) exceeded() bool { return s.size > s.limit || s.failed }

// add adds n objects.
func (s *sizer) add(n uint64, bytes int) {
	if bytes > 0 && n > uint64(s.limit-s.size)/uint64(bytes) {
		s.size = s.limit + 1
		return
	}
	s.size += int(n) * bytes
}

// rounded is the memory of an object: the allocator rounds its size up.
func rounded(t reflect.Type) int { return int(min(t.Size()+t.Size()/8, 1<<30)) }

// Memory of values, in bytes, on systems with 64 bits.
const (
	scalarInInterface = 24 // number, time, or the header of a string or slice
	emptyMap          = 48
	mapGroup          = 8   // a map has memory for so many pairs from the first one on
	maxInline         = 128 // bytes of a key or value that is stored in a map itself
	mapGrowth         = 3   // pairs for which a map has memory, for each pair
)

// maxPointers bounds the work for types that point to themselves.
const maxPointers = 16

// value adds the first value of p, of type t, and returns the data after it. skip has checked p.
func (s *sizer) value(p []byte, t reflect.Type) (rest []byte) {
	for depth := 0; t.Kind() == reflect.Pointer; depth++ {
		if p[0] == nilCode || depth == maxPointers || hasCustomDecoder(t) {
			return skipped(p)
		}
		t = t.Elem()
		s.add(1, rounded(t))
	}
	if s.exceeded() {
		return nil
	}
	if !composite(t) || hasCustomDecoder(t) {
		return skipped(p)
	}
	h, in, _ := readHeader(p)
	switch kind := t.Kind(); {
	case kind == reflect.Interface:
		return s.inInterface(p, h, in, t)
	case h.kind == kindArray && (kind == reflect.Slice || kind == reflect.Array):
		if kind == reflect.Slice { // the elements of an array are part of its variable
			s.add(h.n, int(t.Elem().Size()))
		}
		return s.values(in, h.n, t.Elem())
	case h.kind == kindMap && kind == reflect.Map:
		s.pairs(h.n, t.Key(), t.Elem())
		return s.values(in, h.n, t.Key(), t.Elem())
	case kind == reflect.Struct:
		return s.fields(p, h, in, t)
	}
	return skipped(p)
}

func skipped(p []byte) []byte {
	rest, _ := skip(p) // has been checked
	return rest
}

// values adds n groups of values of these types.
func (s *sizer) values(in []byte, n uint64, types ...reflect.Type) []byte {
	for range n {
		for _, t := range types {
			if s.exceeded() {
				return nil
			}
			in = s.value(in, t)
		}
	}
	return in
}

// pairs adds the memory of a map.
func (s *sizer) pairs(n uint64, key, value reflect.Type) {
	s.add(1, emptyMap)
	if n == 0 {
		return
	}
	pair := 0
	for _, t := range []reflect.Type{key, value} {
		if t.Size() <= maxInline {
			pair += int(t.Size())
			continue
		}
		pair += 8
		s.add(n, rounded(t))
	}
	s.add(max(mapGroup, mapGrowth*n), pair)
}

func (s *sizer) inInterface(p []byte, h header, in []byte, t reflect.Type) []byte {
	switch h.kind {
	case kindNil, kindBool:
	case kindArray:
		s.add(1, scalarInInterface)
		s.add(h.n, int(t.Size()))
		return s.values(in, h.n, t)
	case kindMap:
		s.pairs(h.n, t, t)
		return s.values(in, h.n, t, t)
	default:
		s.add(1, scalarInInterface)
	}
	return skipped(p)
}

func (s *sizer) fields(p []byte, h header, in []byte, t reflect.Type) []byte {
	f := fieldsOf(t, s.tag)
	switch {
	case h.kind == kindMap:
		if h.n > 0 {
			s.add(1, f.embedded)
		}
		for range h.n {
			if s.exceeded() {
				return nil
			}
			name, value, err := fieldName(in)
			if err != nil {
				s.failed = true
				return nil
			}
			if field := f.byName[string(name)]; field != nil {
				in = s.value(value, field)
			} else {
				in = skipped(value)
			}
		}
		return in
	case h.kind == kindArray && h.n == uint64(len(f.inOrder)):
		s.add(1, f.embedded)
		return s.values(in, 1, f.inOrder...)
	}
	return skipped(p)
}

package msgpack

import (
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// An element of a slice or a map takes its memory even if it is encoded in one byte, as nil or as an empty map. A pointer has
// memory of its own for the value that it refers to. So a few bytes could stand for many large structs. A value may take
// decodedFactor times its length and decodedExcess.
const (
	decodedFactor = 64
	decodedExcess = 1 << 20
	decodedFew    = 4 << 10 // is not worth the work of an estimate
)

func decodedLimit(raw hub.Raw) int { return decodedFactor*len(raw) + decodedExcess }

// DecodedSize implements hub.DecodedSizer.
func (p *protocol) DecodedSize(raw hub.Raw, t reflect.Type) int {
	if !composite(t) || !p.mayGrow(t) && decodedFactor*len(raw) <= decodedFew {
		return 0
	}
	if _, err := skip(raw); err != nil { // limits the nesting, because sizeOf recurses
		return 0 // nothing is decoded
	}
	return p.sizeOf(raw, t)
}

// check returns an error if the value in raw, which skip has checked, takes too much memory.
func (p *protocol) check(raw hub.Raw, t reflect.Type) error {
	if p.mayGrow(t) && p.sizeOf(raw, t) > decodedLimit(raw) {
		return hub.ErrValueTooLarge
	}
	return nil
}

func (p *protocol) sizeOf(raw hub.Raw, t reflect.Type) int {
	s := &sizer{protocol: p, limit: decodedLimit(raw)}
	s.value(raw, t)
	return s.size
}

// mayGrow reports whether a value of the type may take more than decodedFactor bytes for one of its bytes.
func (p *protocol) mayGrow(t reflect.Type) bool {
	if may, ok := p.grows.Load(t); ok {
		return may.(bool)
	}
	may := p.findLarge(t, map[reflect.Type]bool{})
	p.grows.Store(t, may)
	return may
}

func (p *protocol) findLarge(t reflect.Type, visited map[reflect.Type]bool) bool {
	if visited[t] || !composite(t) || hasOwnDecoding(t) {
		return false
	}
	visited[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return t.Elem().Size() > decodedFactor || p.findLarge(t.Elem(), visited)
	case reflect.Array:
		return p.findLarge(t.Elem(), visited)
	case reflect.Struct:
		for i := range p.structOf(t).fields {
			if f := &p.structOf(t).fields[i]; len(f.Index) > 1 || p.findLarge(f.Type, visited) {
				return true
			}
		}
		return false
	}
	return true // a map, which has memory for several pairs from the first one on, or an any, which may have maps
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

// hasOwnDecoding reports whether a type decodes itself.
func hasOwnDecoding(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return t == typeTime || p.Implements(typeUnmarshaler) || p.Implements(typeJSONUnmarshaler) || p.Implements(typeTextUnmarshaler)
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
	protocol    *protocol
	size, limit int
	failed      bool // decoding will fail here
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
		if p[0] == nilCode || depth == maxPointers || hasOwnDecoding(t) {
			return skipped(p)
		}
		t = t.Elem()
		s.add(1, rounded(t))
	}
	if s.exceeded() {
		return nil
	}
	if !composite(t) || hasOwnDecoding(t) {
		return skipped(p)
	}
	h, in, _ := mpack.Read(p)
	switch kind := t.Kind(); {
	case kind == reflect.Interface:
		return s.inInterface(p, h, in, t)
	case h.Kind == mpack.Array && (kind == reflect.Slice || kind == reflect.Array):
		if kind == reflect.Slice { // the elements of an array are part of its variable
			s.add(h.N, int(t.Elem().Size()))
		}
		return s.values(in, h.N, t.Elem())
	case h.Kind == mpack.Map && kind == reflect.Map:
		s.pairs(h.N, t.Key(), t.Elem())
		return s.members(in, h.N, t.Elem())
	case kind == reflect.Struct:
		return s.fields(p, h, in, t)
	}
	return skipped(p)
}

func skipped(p []byte) []byte {
	rest, _ := mpack.Skip(p) // has been checked
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

func (s *sizer) inInterface(p []byte, h mpack.Header, in []byte, t reflect.Type) []byte {
	switch h.Kind {
	case mpack.Nil, mpack.Bool:
	case mpack.Array:
		s.add(1, scalarInInterface)
		s.add(h.N, int(t.Size()))
		return s.values(in, h.N, t)
	case mpack.Map:
		s.pairs(h.N, typeText, t)
		return s.members(in, h.N, t)
	default:
		s.add(1, scalarInInterface)
	}
	return skipped(p)
}

// members adds the values of a map. Its keys are texts or numbers.
func (s *sizer) members(in []byte, n uint64, t reflect.Type) []byte {
	for range n {
		if s.exceeded() {
			return nil
		}
		in = s.value(skipped(in), t)
	}
	return in
}

var typeText = reflect.TypeFor[string]()

func (s *sizer) fields(p []byte, h mpack.Header, in []byte, t reflect.Type) []byte {
	fields := s.protocol.structOf(t)
	switch {
	case h.Kind == mpack.Map:
		for range h.N {
			if s.exceeded() {
				return nil
			}
			k, key, _ := mpack.Read(in)
			if k.Kind != mpack.String {
				s.failed = true
				return nil
			}
			in = s.field(t, fields.find(key[:k.N]), key[k.N:])
		}
		return in
	case h.Kind == mpack.Array && fields.asArray:
		for i := range h.N {
			if s.exceeded() {
				return nil
			}
			var f *field
			if i < uint64(len(fields.fields)) {
				f = &fields.fields[i]
			}
			in = s.field(t, f, in)
		}
		return in
	}
	return skipped(p)
}

// field adds the value of a field of struct type t, and the embedded structs on the way to it that are pointers.
func (s *sizer) field(t reflect.Type, f *field, in []byte) []byte {
	switch {
	case f == nil:
		return skipped(in)
	case f.Quoted: // a scalar
		if f.Type.Kind() == reflect.Pointer {
			s.add(1, rounded(f.Type.Elem()))
		}
		return skipped(in)
	}
	for _, i := range f.Index[:len(f.Index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
			s.add(1, rounded(t))
		}
	}
	return s.value(in, f.Type)
}

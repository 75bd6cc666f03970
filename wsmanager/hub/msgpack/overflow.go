package msgpack

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// The library truncates integers to the size of their Go type: 300 would become 44 in a uint8, and -1 a huge uint. So before
// a value is decoded, it is compared with the type, and an integer that overflows is an error. The library itself detects
// all other mismatches.

// check checks one value before it is decoded.
type check struct {
	tag string // see Options.Tag
}

// checkIntegerRange checks the integers in the first value of p against type t. skip must have checked p. rest is the data
// after the value.
func (c *check) checkIntegerRange(p []byte, t reflect.Type) (rest []byte, err error) {
	for t.Kind() == reflect.Pointer {
		if hasCustomDecoder(t) {
			return skip(p)
		}
		t = t.Elem()
	}
	if !mayHaveInteger(t.Kind()) || hasCustomDecoder(t) {
		return skip(p)
	}
	h, in, err := readHeader(p)
	if err != nil {
		return nil, err
	}
	switch kind := t.Kind(); {
	case kind == reflect.Struct:
		return c.checkStruct(p, h, in, t)
	case kind == reflect.Slice || kind == reflect.Array:
		if h.kind == kindArray {
			return c.checkElements(in, h.n, t.Elem())
		}
	case kind == reflect.Map:
		if h.kind == kindMap {
			return c.checkElements(in, h.n, t.Key(), t.Elem())
		}
		if h.kind == kindExtension { // the library would decode its data as a map, which skip has not checked
			return nil, fmt.Errorf("%v for a %v", h.kind, t)
		}
	case h.kind == kindInt && overflows(t, h):
		if h.negative {
			return nil, fmt.Errorf("%d overflows %v", int64(h.n), t)
		}
		return nil, fmt.Errorf("%d overflows %v", h.n, t)
	}
	return skip(p)
}

// checkElements checks n groups of values that have these types.
func (c *check) checkElements(in []byte, n uint64, types ...reflect.Type) (rest []byte, err error) {
	for range n {
		for _, t := range types {
			rest, err := c.checkIntegerRange(in, t)
			if err != nil {
				return nil, err
			}
			in = rest
		}
	}
	return in, nil
}

// nilCode is the encoding of nil.
const nilCode = 0xc0

// mayHaveInteger reports whether a value of the kind may have an integer that can overflow.
func mayHaveInteger(k reflect.Kind) bool {
	switch k {
	case reflect.Bool, reflect.String, reflect.Interface, reflect.Complex64, reflect.Complex128,
		reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	}
	return true
}

// overflows reports whether an integer is outside the range of numeric type t.
func overflows(t reflect.Type, h header) bool {
	zero := reflect.Zero(t)
	switch {
	case zero.CanInt():
		return !h.negative && h.n > math.MaxInt64 || zero.OverflowInt(int64(h.n))
	case zero.CanUint():
		return h.negative || zero.OverflowUint(h.n)
	}
	return !h.negative && h.n > math.MaxInt64 // the library converts integers to floats through int64
}

func (c *check) checkStruct(p []byte, h header, in []byte, t reflect.Type) (rest []byte, err error) {
	f := fieldsOf(t, c.tag)
	switch {
	case h.kind == kindMap:
		for range h.n {
			name, value, err := fieldName(in)
			if err != nil {
				return nil, err
			}
			if field := f.byName[string(name)]; field != nil {
				in, err = c.checkIntegerRange(value, field)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			} else if in, err = skip(value); err != nil {
				return nil, err
			}
		}
		return in, nil
	case h.kind == kindArray && h.n == uint64(len(f.inOrder)):
		return c.checkElements(in, 1, f.inOrder...)
	}
	return skip(p)
}

// fieldName reads a key of a map that is decoded into a struct, as the library does: binary data is a name, and nil is the
// empty one. It returns the data after the key.
func fieldName(p []byte) (name, rest []byte, err error) {
	h, in, err := readHeader(p)
	switch {
	case err != nil:
		return nil, nil, err
	case h.kind == kindNil:
		return nil, in, nil
	case h.kind != kindString && h.kind != kindBinary:
		return nil, nil, fmt.Errorf("the name of a field is %v", h.kind)
	}
	return in[:h.n], in[h.n:], nil
}

// fields has the types of a struct's fields under the library's names and in its order.
type fields struct {
	byName  map[string]reflect.Type // nil for an ambiguous name: the library decides which field it means
	inOrder []reflect.Type

	embedded int // memory of all embedded structs that are pointers
}

type fieldsKey struct {
	t   reflect.Type
	tag string
}

var fieldsCache sync.Map // *fields by fieldsKey

func fieldsOf(t reflect.Type, tag string) *fields {
	key := fieldsKey{t, tag}
	if f, ok := fieldsCache.Load(key); ok {
		return f.(*fields)
	}
	f := &fields{byName: make(map[string]reflect.Type)}
	f.add(t, tag, map[reflect.Type]bool{})
	fieldsCache.Store(key, f)
	return f
}

// add adds the fields of struct type t. visited has the types in which t is embedded.
func (f *fields) add(t reflect.Type, tag string, visited map[reflect.Type]bool) {
	if visited[t] {
		return // a pointer to the struct itself
	}
	visited[t] = true
	for field := range t.Fields() {
		text := field.Tag.Get("msgpack")
		if text == "" && tag != "" {
			text = field.Tag.Get(tag)
		}
		name, options, _ := strings.Cut(text, ",")
		if name == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		inner := field.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if field.Anonymous && inner.Kind() == reflect.Struct && !hasCustomDecoder(inner) && !strings.Contains(options, "noinline") {
			if inner != field.Type {
				f.embedded += rounded(inner)
			}
			f.add(inner, tag, visited)
			continue
		}
		if name == "" {
			name = field.Name
		}
		if _, ambiguous := f.byName[name]; ambiguous {
			f.byName[name] = nil
		} else {
			f.byName[name] = field.Type
		}
		f.inOrder = append(f.inOrder, field.Type)
	}
}

var decoderInterfaces = []reflect.Type{
	reflect.TypeFor[msgpack.CustomDecoder](),
	reflect.TypeFor[msgpack.Unmarshaler](),
	reflect.TypeFor[encoding.BinaryUnmarshaler](),
	reflect.TypeFor[encoding.TextUnmarshaler](),
}

// hasCustomDecoder reports whether the type implements its own decoding.
func hasCustomDecoder(t reflect.Type) bool {
	if t.PkgPath() == "" && t.Kind() != reflect.Pointer && t.Kind() != reflect.Struct {
		return false // has no methods
	}
	for _, i := range decoderInterfaces {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

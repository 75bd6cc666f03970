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

// The library cuts integers to the size that is wanted: 300 for a uint8 would be 44, and
// -1 for a uint a huge number. So what is decoded is walked through together with the
// type that it is decoded into, and an integer that does not fit is an error. What else
// does not fit the type the library finds itself.

// fits checks the first value of p, which skip has checked, and returns what is behind
// it.
func (c *protocol) fits(p []byte, t reflect.Type) (rest []byte, err error) {
	for t.Kind() == reflect.Pointer {
		if decodesItself(t) {
			return skip(p)
		}
		t = t.Elem()
	}
	if !numbers(t.Kind()) || decodesItself(t) {
		return skip(p)
	}
	h, in, err := read(p)
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		if h.kind != kindArray {
			return skip(p)
		}
		for range h.n {
			if in, err = c.fits(in, t.Elem()); err != nil {
				return nil, err
			}
		}
		return in, nil
	case reflect.Map:
		if h.kind != kindMap {
			return skip(p)
		}
		for range h.n {
			if in, err = c.fits(in, t.Key()); err != nil {
				return nil, err
			}
			if in, err = c.fits(in, t.Elem()); err != nil {
				return nil, err
			}
		}
		return in, nil
	case reflect.Struct:
		return c.fitsStruct(p, h, in, t)
	}
	if h.kind == kindInt && !holds(t, h) {
		if h.negative {
			return nil, fmt.Errorf("%d is no %v", int64(h.n), t)
		}
		return nil, fmt.Errorf("%d is no %v", h.n, t)
	}
	return skip(p)
}

// numbers reports whether there may be a number in a value of the kind.
func numbers(k reflect.Kind) bool {
	switch k {
	case reflect.Bool, reflect.String, reflect.Interface, reflect.Complex64, reflect.Complex128,
		reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	}
	return true
}

// holds reports whether a number of the type can be this one.
func holds(t reflect.Type, h header) bool {
	zero := reflect.Zero(t)
	switch {
	case zero.CanInt():
		return (h.negative || h.n <= math.MaxInt64) && !zero.OverflowInt(int64(h.n))
	case zero.CanUint():
		return !h.negative && !zero.OverflowUint(h.n)
	}
	return h.negative || h.n <= math.MaxInt64 // a float: the library takes it through an int64
}

func (c *protocol) fitsStruct(p []byte, h header, in []byte, t reflect.Type) (rest []byte, err error) {
	f := fieldsOf(t, c.tag)
	switch {
	case h.kind == kindMap:
		for range h.n {
			k, key, err := read(in)
			if err != nil {
				return nil, err
			}
			if k.kind != kindString {
				return skip(p) // the library will say so
			}
			name := string(key[:k.n])
			if field := f.byName[name]; field != nil {
				in, err = c.fits(key[k.n:], field)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			} else if in, err = skip(key[k.n:]); err != nil {
				return nil, err
			}
		}
		return in, nil
	case h.kind == kindArray && h.n == uint64(len(f.inOrder)):
		for _, field := range f.inOrder {
			if in, err = c.fits(in, field); err != nil {
				return nil, err
			}
		}
		return in, nil
	}
	return skip(p)
}

// fields is the types of a struct's fields, as the library names and orders them.
type fields struct {
	byName  map[string]reflect.Type // nil for a name that is there twice: it is not for us to say which counts
	inOrder []reflect.Type
}

type fieldsKey struct {
	t   reflect.Type
	tag string
}

var fieldsCache sync.Map // of *fields by fieldsKey

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

func (f *fields) add(t reflect.Type, tag string, within map[reflect.Type]bool) {
	if within[t] {
		return // a pointer to itself
	}
	within[t] = true
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
		if field.Anonymous && inner.Kind() == reflect.Struct && !decodesItself(inner) && !strings.Contains(options, "noinline") {
			f.add(inner, tag, within)
			continue
		}
		if name == "" {
			name = field.Name
		}
		if _, twice := f.byName[name]; twice {
			f.byName[name] = nil
		} else {
			f.byName[name] = field.Type
		}
		f.inOrder = append(f.inOrder, field.Type)
	}
}

var itself = []reflect.Type{
	reflect.TypeFor[msgpack.CustomDecoder](),
	reflect.TypeFor[msgpack.Unmarshaler](),
	reflect.TypeFor[encoding.BinaryUnmarshaler](),
	reflect.TypeFor[encoding.TextUnmarshaler](),
}

// decodesItself reports whether it is the type's own matter how it is decoded.
func decodesItself(t reflect.Type) bool {
	if t.PkgPath() == "" && t.Kind() != reflect.Pointer && t.Kind() != reflect.Struct {
		return false // has no methods
	}
	for _, i := range itself {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

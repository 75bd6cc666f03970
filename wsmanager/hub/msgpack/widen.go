package msgpack

import (
	"math"
	"reflect"
	"sync"
)

// In an any the library makes an int8 of 1 and a uint16 of 1000. (It can do otherwise,
// but then it makes strings of binary data.) Nobody wants to tell eight types apart, so
// they are widened: to int64, or uint64 where that is too small, and to float64.

// widen widens the numbers in all anys that v has.
func widen(v reflect.Value) {
	if !mayHoldAny(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			widen(v.Elem())
		}
	case reflect.Interface:
		switch e := v.Elem(); {
		case v.IsNil():
		case e.CanInt() && e.Type().PkgPath() == "":
			v.Set(reflect.ValueOf(e.Int()))
		case e.CanUint() && e.Type().PkgPath() == "":
			if e.Uint() <= math.MaxInt64 {
				v.Set(reflect.ValueOf(int64(e.Uint())))
			} else {
				v.Set(reflect.ValueOf(e.Uint()))
			}
		case e.Kind() == reflect.Float32 && e.Type().PkgPath() == "":
			v.Set(reflect.ValueOf(e.Float()))
		case e.Kind() == reflect.Slice, e.Kind() == reflect.Map, e.Kind() == reflect.Pointer:
			widen(e)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			widen(v.Index(i))
		}
	case reflect.Map:
		for k, e := range v.Seq2() {
			c := reflect.New(e.Type()).Elem() // the elements of a map can't be set
			c.Set(e)
			widen(c)
			v.SetMapIndex(k, c)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				widen(f)
			}
		}
	}
}

var holdsAny sync.Map // of bool by type

func mayHoldAny(t reflect.Type) bool {
	if known, ok := holdsAny.Load(t); ok {
		return known.(bool)
	}
	may := looksForAny(t, map[reflect.Type]bool{})
	holdsAny.Store(t, may)
	return may
}

func looksForAny(t reflect.Type, within map[reflect.Type]bool) bool {
	if within[t] || decodesItself(t) {
		return false
	}
	within[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return t.NumMethod() == 0
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return looksForAny(t.Elem(), within)
	case reflect.Struct:
		for f := range t.Fields() {
			if looksForAny(f.Type, within) {
				return true
			}
		}
	}
	return false
}

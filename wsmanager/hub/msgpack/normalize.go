package msgpack

import (
	"math"
	"reflect"
	"sync"
)

// In an any the library decodes 1 to an int8 and 1000 to a uint16. (It has another mode, but that decodes binary data to
// strings.) Applications should not have to distinguish eight integer types, so numbers in an any are converted to int64, to
// uint64 above its range, and to float64.

// normalizeNumbers converts the numbers in each any of v.
func normalizeNumbers(v reflect.Value) {
	if !mayHaveAny(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			normalizeNumbers(v.Elem())
		}
	case reflect.Interface:
		normalizeAny(v)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			normalizeNumbers(v.Index(i))
		}
	case reflect.Map:
		for k, e := range v.Seq2() {
			c := reflect.New(e.Type()).Elem() // the elements of a map are not settable
			c.Set(e)
			normalizeNumbers(c)
			v.SetMapIndex(k, c)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				normalizeNumbers(f)
			}
		}
	}
}

// normalizeAny converts the value of one any. Named number types are kept.
func normalizeAny(v reflect.Value) {
	if v.IsNil() {
		return
	}
	e := v.Elem()
	predeclared := e.Type().PkgPath() == ""
	switch kind := e.Kind(); {
	case predeclared && e.CanInt():
		v.Set(reflect.ValueOf(e.Int()))
	case predeclared && e.CanUint() && e.Uint() <= math.MaxInt64:
		v.Set(reflect.ValueOf(int64(e.Uint())))
	case predeclared && e.CanUint():
		v.Set(reflect.ValueOf(e.Uint()))
	case predeclared && kind == reflect.Float32:
		v.Set(reflect.ValueOf(e.Float()))
	case kind == reflect.Slice || kind == reflect.Map || kind == reflect.Pointer:
		normalizeNumbers(e)
	}
}

var anyCache sync.Map // bool by reflect.Type: the results of mayHaveAny

// mayHaveAny reports whether a value of the type may have an any.
func mayHaveAny(t reflect.Type) bool {
	if known, ok := anyCache.Load(t); ok {
		return known.(bool)
	}
	may := findAny(t, map[reflect.Type]bool{})
	anyCache.Store(t, may)
	return may
}

func findAny(t reflect.Type, visited map[reflect.Type]bool) bool {
	if visited[t] || hasCustomDecoder(t) {
		return false
	}
	visited[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return t.NumMethod() == 0
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return findAny(t.Elem(), visited)
	case reflect.Struct:
		for f := range t.Fields() {
			if findAny(f.Type, visited) {
				return true
			}
		}
	}
	return false
}

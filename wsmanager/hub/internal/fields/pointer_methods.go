package fields

import "reflect"

// HasPointerMethods reports whether a value of type t, or a value in it, needs an address for a method of one of the
// interfaces: a method of the pointer. encoding/json does not call such methods for a value without an address. tags are those of Of.
func HasPointerMethods(t reflect.Type, interfaces []reflect.Type, tags ...string) bool {
	return hasPointerMethods(t, interfaces, tags, map[reflect.Type]bool{})
}

func hasPointerMethods(t reflect.Type, interfaces []reflect.Type, tags []string, visited map[reflect.Type]bool) bool {
	if visited[t] || t.Kind() == reflect.Interface {
		return false
	}
	visited[t] = true
	for _, i := range interfaces {
		if t.Implements(i) {
			return false
		}
	}
	for _, i := range interfaces {
		if reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	switch t.Kind() { // elements of slices and what pointers point to have an address, elements of maps never
	case reflect.Array:
		return hasPointerMethods(t.Elem(), interfaces, tags, visited)
	case reflect.Struct:
		for _, f := range Of(t, tags...) {
			if hasPointerMethods(f.Type, interfaces, tags, visited) {
				return true
			}
		}
	}
	return false
}

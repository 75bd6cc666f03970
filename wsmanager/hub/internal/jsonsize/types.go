package jsonsize

import (
	"encoding"
	"encoding/json"
	"reflect"
	"sync"
)

// Memory of values, in bytes, on systems with 64 bits.
const (
	interfaceSize = 16
	numberSize    = 8
	stringSize    = 16
	sliceSize     = 24
	mapSize       = 48
	groupSlots    = 8   // a map has memory for so many members from the first one on
	maxInline     = 128 // bytes of a key or value that is stored in a map itself
)

// growth is the capacity of a slice that has grown, in proportion to its length. Beyond doubling elements it is 5/4.
const (
	growth   = 2
	doubling = 512
)

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// custom reports whether values of a type decode themselves.
func custom(t reflect.Type) bool {
	if t.PkgPath() == "" && t.Kind() != reflect.Struct {
		return false // has no methods, or those of what it points to
	}
	p := reflect.PointerTo(t)
	return p.Implements(unmarshaler) || p.Implements(textUnmarshaler)
}

// allocated returns the memory of a slot for a value of type t, and of what it refers to through pointers.
func allocated(t reflect.Type) int {
	n := int(t.Size())
	for depth := 0; t.Kind() == reflect.Pointer && depth < maxPointers; depth++ {
		t = t.Elem()
		n += object(t)
	}
	return n
}

// object returns the memory of an object of type t. The allocator rounds its size up.
func object(t reflect.Type) int { return int(t.Size() + t.Size()/8) }

// maxPointers bounds the work for types that point to themselves.
const maxPointers = 16

// slot returns the memory that a map needs for a key or a value, in the map and outside of it.
func slot(t reflect.Type) (inline, outside int) {
	if t.Size() <= maxInline {
		return int(t.Size()), 0
	}
	return 8, object(t)
}

// firstMember is the memory of a map that is not empty, for its first members. member is that of each further one.
func firstMember(t reflect.Type) int {
	k, _ := slot(t.Key())
	v, outside := slot(t.Elem())
	return mapSize + 8 + groupSlots*(k+v) + 2*outside // encoding/json has one more value
}

func member(t reflect.Type) int {
	k, _ := slot(t.Key())
	v, outside := slot(t.Elem())
	return growth*(k+v) + outside
}

// The shortest JSON of an element of an array, with its comma, and of a member of an object, with a comma or a brace. Those of
// nested values do not overlap, so the largest factor is that of the whole.
const (
	shortestElement = 2
	shortestMember  = 5
)

// interfaceFactor is the factor of a value in an interface: an object with one member takes most.
const interfaceFactor = 52

var factors sync.Map // int by reflect.Type

// Factor returns how many bytes of memory each byte of JSON takes at most if it is decoded into a variable of type t.
func Factor(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Pointer, reflect.Struct:
	case reflect.Interface:
		return interfaceFactor
	default:
		return 0
	}
	if f, ok := factors.Load(t); ok {
		return f.(int)
	}
	f := &finder{seen: make(map[reflect.Type]bool)}
	f.add(t)
	factors.Store(t, f.factor)
	return f.factor
}

// finder finds the largest factor in a type.
type finder struct {
	factor int
	seen   map[reflect.Type]bool
}

func (f *finder) add(t reflect.Type) {
	if f.seen[t] || custom(t) {
		return
	}
	f.seen[t] = true
	switch t.Kind() {
	case reflect.Slice:
		f.atLeast(growth*int(t.Elem().Size())+allocated(t.Elem())-int(t.Elem().Size()), shortestElement)
		f.add(t.Elem())
	case reflect.Array:
		f.add(t.Elem())
		f.pointer(t.Elem(), shortestElement)
	case reflect.Pointer:
		f.add(t.Elem())
		f.pointer(t, shortestElement)
	case reflect.Map:
		f.atLeast(max(firstMember(t), member(t))+allocated(t.Elem())-int(t.Elem().Size()), shortestMember)
		f.add(t.Elem())
	case reflect.Interface:
		f.factor = max(f.factor, interfaceFactor)
	case reflect.Struct:
		for _, field := range fieldsOf(t).byName {
			f.atLeast(field.embedded+allocated(field.typ)-int(field.typ.Size()), shortestMember)
			f.add(field.typ)
		}
	}
}

// pointer adds what a pointer refers to.
func (f *finder) pointer(t reflect.Type, shortest int) {
	f.atLeast(allocated(t)-int(t.Size()), shortest)
}

func (f *finder) atLeast(bytes, shortest int) {
	f.factor = max(f.factor, (bytes+shortest-1)/shortest)
}

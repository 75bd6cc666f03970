package hub

import (
	"reflect"
	"unsafe"
)

// bindSeq returns a function that calls an iter.Seq or iter.Seq2, as seq(yield).
//
// reflect.Value.Call has a frame of 1.4 KB, which stays on the stack of a stream while that does nothing: its goroutine would
// have a stack of 8 KB, in place of 2, or 4 after an item. So the function is called directly. A variable of a function type
// holds a pointer, whatever the type, and a function whose only parameter is a function takes that pointer in the same way,
// whatever it refers to. streamOf has checked that seq is such a function, and yield has the type of its parameter.
func bindSeq(seq, yield reflect.Value) func() {
	if seq.Type().In(0) != yield.Type() {
		panic("hub: yield is of another type")
	}
	call, argument := *(*func(func()))(variable(seq)), *(*func())(variable(yield))
	return func() { call(argument) }
}

// variable returns a pointer to a variable with the value.
func variable(v reflect.Value) unsafe.Pointer {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.UnsafePointer()
}

package hub

import "reflect"

// Call is a call of a method, as filters and Method.Authorize see it.
type Call struct {
	ctx    *Context
	method *method
	args   []reflect.Value
}

// Context returns the call's context.
func (c *Call) Context() *Context { return c.ctx }

// Method returns the method's name in the case in which it was registered.
func (c *Call) Method() string { return c.method.name }

// Args returns the arguments without the context. They have the types of the method's parameters.
func (c *Call) Args() []any {
	args := make([]any, len(c.args))
	for i, a := range c.args {
		args[i] = a.Interface()
	}
	return args
}

// Filter runs around the calls of all methods. It may call next, and returns the result for the caller. The result of a
// method that streams is the stream itself, before its first item is taken. A Filter need not recover from panics.
type Filter func(c *Call, next func() (any, error)) (any, error)

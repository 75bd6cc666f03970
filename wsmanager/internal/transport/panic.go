package transport

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
)

// PanicError is the panic of a method of a [net.Conn] that is not this module's own, for
// example of one that a wrapping net.Listener has made.
type PanicError struct {
	Method string
	Conn   string // type of the connection
	Value  any    // of the panic
	Stack  []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("wsmanager: %s of a %s panicked: %v", e.Method, e.Conn, e.Value)
}

// AsPanic returns the *PanicError in the chain of err, or nil.
func AsPanic(err error) *PanicError {
	var p *PanicError
	if errors.As(err, &p) {
		return p
	}
	return nil
}

// recovered sets err if v, the result of recover, is not nil.
func recovered(v any, conn net.Conn, method string, err *error) {
	if v != nil {
		*err = &PanicError{Method: method, Conn: fmt.Sprintf("%T", conn), Value: v, Stack: debug.Stack()}
	}
}

// checkCount panics, as bufio does, if a method has returned an impossible number of bytes. It
// is not inlined, because the stack of an idle reader is kept small.
//
//go:noinline
func checkCount(n, size int) {
	if n < 0 || n > size {
		panic(fmt.Sprintf("its count of %d bytes is %d", size, n))
	}
}

//go:build linux

package evloop

import "runtime/debug"

// logUnhandled logs a panic after which no handler call is left that could get it. A Goexit
// is not logged.
func (l *Loop) logUnhandled(err error) {
	if err != ErrGoexit {
		l.opts.Logf("%v", err)
	}
}

// recoveredError returns the error for the value of recover on a goroutine that did not
// return normally.
func recoveredError(recovered any) error {
	if recovered == nil {
		return ErrGoexit
	}
	return &PanicError{Value: recovered, Stack: debug.Stack()}
}

package evloop

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by the methods of a Socket that was never added or has ended,
	// by those that need the write side after Shut, and by Add after Close.
	ErrClosed = errors.New("evloop: closed")

	// ErrAdded is returned by Add for a Socket that was added before.
	ErrAdded = errors.New("evloop: the Socket was added before")

	// ErrShut is passed to End after Shut.
	ErrShut = errors.New("evloop: the socket was shut")

	// ErrStopped is passed to End after Data returned false.
	ErrStopped = errors.New("evloop: the handler wants no more data")

	// ErrGoexit is passed to End after a handler called runtime.Goexit, as testing's
	// FailNow does.
	ErrGoexit = errors.New("evloop: the handler ended its goroutine")
)

// PanicError is passed to End after a handler has panicked.
type PanicError struct {
	Value any    // the value passed to panic
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("evloop: the handler panicked: %v", e.Value) }

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

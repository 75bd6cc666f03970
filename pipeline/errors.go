package pipeline

import (
	"errors"
	"fmt"
)

var (
	// ErrResponseStarted is returned by [Response.OnStarting] once the status and headers
	// have been sent or are about to be: the callback would never run.
	ErrResponseStarted = errors.New("pipeline: the response has started")

	// ErrResponseCompleted is returned by [Response.OnCompleted] once the handlers have
	// returned and the callbacks have run, and by the writer of an observed response to a
	// handler that writes, flushes or hijacks after that.
	ErrResponseCompleted = errors.New("pipeline: the response is complete")
)

// ConfigError is the panic value of a middleware with invalid options, when it is given its
// next handler. [Builder.Build] recovers it and reports it with the other mistakes and the
// place of the call; outside a Builder it is an ordinary panic at start-up.
type ConfigError struct {
	Component string // for example "middleware.StaticFiles"
	Problem   string // the problem and how to fix it
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Component + ": " + e.Problem }

// Mistakes that a call to the builder detects itself.
var (
	errNothing     = errors.New("no component was given")
	errNoName      = errors.New("the name is empty: use Use for a component without a name")
	errNoConfigure = errors.New("the function that configures the branch is nil")
)

// mistake returns one error of Build: the problem of a step, and its place.
func mistake(s *step, format string, args ...any) error {
	return fmt.Errorf("pipeline: %s: %s(%s): %w", s.at, s.kind, s.label, fmt.Errorf(format, args...))
}

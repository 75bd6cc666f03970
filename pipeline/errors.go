package pipeline

import (
	"errors"
	"fmt"
)

var (
	// ErrResponseStarted is returned by [Response.OnStarting] once the status
	// and headers have gone out or are about to: the callback would never run.
	ErrResponseStarted = errors.New("pipeline: the response has started")

	// ErrResponseCompleted is returned by [Response.OnCompleted] once the
	// handlers have returned and the callbacks have run, and by the writer of an
	// observed response to a handler that goes on writing, flushing or hijacking
	// after that.
	ErrResponseCompleted = errors.New("pipeline: the response is complete")
)

// ConfigError is what a configured middleware panics with when it is given its
// next handler and its options make no sense. [Builder.Build] recovers it and
// reports it among the other mistakes, with the place of registration; outside
// a Builder it is an ordinary panic at start-up.
type ConfigError struct {
	Component string // "middleware.StaticFiles"
	Problem   string // what is wrong and how to mend it
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Component + ": " + e.Problem }

// The mistakes that a call to the builder can see by itself.
var (
	errNothing     = errors.New("no component was given")
	errNoName      = errors.New("the name is empty: use Use for a component without a name")
	errNoConfigure = errors.New("the function that configures the branch is nil")
)

// mistake is one error of Build: what is wrong with a step, and where it is.
func mistake(s *step, format string, args ...any) error {
	return fmt.Errorf("pipeline: %s: %s(%s): %w", s.at, s.kind, s.label, fmt.Errorf(format, args...))
}

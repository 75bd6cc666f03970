package middleware

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// HealthStatus is a verdict on the service or on a part of it. The greater one
// is the worse one.
type HealthStatus int

// The verdicts, with the meaning that they have in ASP.NET Core.
const (
	Healthy   HealthStatus = iota // all is well
	Degraded                      // it works, but slower or without some feature
	Unhealthy                     // it does not work
)

// String returns the name: "Healthy", "Degraded" or "Unhealthy".
func (s HealthStatus) String() string {
	switch s {
	case Healthy:
		return "Healthy"
	case Degraded:
		return "Degraded"
	case Unhealthy:
		return "Unhealthy"
	}
	return fmt.Sprintf("HealthStatus(%d)", int(s))
}

// MarshalText implements encoding.TextMarshaler with the name.
func (s HealthStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// defaultHealthTimeout is what a check gets that names no time-out of its own.
const defaultHealthTimeout = 5 * time.Second

// HealthCheck is one thing to look at when somebody asks for the health of the
// service. The same *HealthCheck may be given to several endpoints, /live and
// /ready say: at any time at most one run of it is under way among all of them.
// It must not be changed or copied once it was given to [HealthChecks].
type HealthCheck struct {
	// Name tells the check from the others of an endpoint, ignoring case.
	// Required.
	Name string

	// Tags are what endpoints choose checks by, exactly as they are written.
	Tags []string

	// Check does the looking. Required. A result without an error says what it
	// says: the zero HealthResult is Healthy. An error makes the verdict
	// FailureStatus, whatever the result's status; its description and data are
	// reported all the same. A panic is Unhealthy.
	//
	// The context ends after Timeout, or when nobody waits for the answer any
	// more. It carries the values of the request that started the run. A Check
	// that ignores its context does not hold up the answer, but its goroutine
	// lives on, and until it has returned no other run begins: the check counts
	// as failed.
	//
	// See [Ping] for functions that return an error only.
	Check func(ctx context.Context) (HealthResult, error)

	// Timeout is how long a run may take. What takes longer has failed.
	// Default: 5 s.
	Timeout time.Duration

	// FailureStatus is the verdict on an error or a time-out: Unhealthy or, for
	// what the service can do without, Degraded. Default: Unhealthy.
	FailureStatus HealthStatus

	// MaxAge lets a result be used again until it is that old, counted from the
	// beginning of the run, so that many probes don't mean much work. Good and bad results are kept alike; time-outs are not.
	// Default: 0, each probe looks anew; but probes that arrive during a run
	// share its result also then.
	MaxAge time.Duration

	state healthState
}

// HealthResult is what a check has found out. It is shared among the requests
// that asked at the same time: what Data refers to must not change any more.
type HealthResult struct {
	// Status is the verdict. Default: Healthy.
	Status HealthStatus

	// Description is for whoever reads the report: no secrets.
	Description string

	// Data are figures that explain the verdict, in a form that encoding/json
	// can write: no secrets, again.
	Data map[string]any
}

// Ping makes a Check of a function that only succeeds or fails, such as
// (*sql.DB).PingContext.
func Ping(ping func(ctx context.Context) error) func(context.Context) (HealthResult, error) {
	if ping == nil {
		return nil // reported together with the check's other mistakes
	}
	return func(ctx context.Context) (HealthResult, error) { return HealthResult{}, ping(ctx) }
}

// probe is a HealthCheck as an endpoint has read it, with the defaults in.
type probe struct {
	name    string
	tags    []string
	check   func(context.Context) (HealthResult, error)
	timeout time.Duration
	failure HealthStatus
	maxAge  time.Duration

	*healthState
}

// problems adds what is wrong with the check that stands at index i.
func (c *HealthCheck) problems(i int, names map[string]int, bad *configProblems) {
	if c == nil {
		bad.addf("Checks[%d] is nil", i)
		return
	}
	who := fmt.Sprintf("Checks[%d] (%q)", i, c.Name)
	if c.Name == "" {
		bad.addf("Checks[%d] has no Name: the report needs one", i)
	} else if first, taken := names[strings.ToLower(c.Name)]; taken {
		bad.addf("%s has the name of Checks[%d]: names are compared ignoring case", who, first)
	} else {
		names[strings.ToLower(c.Name)] = i
	}
	if c.Check == nil {
		bad.addf("%s has a nil Check: set the function that looks", who)
	}
	if c.Timeout < 0 {
		bad.addf("%s has the Timeout %s: it must be positive, or 0 for %s", who, c.Timeout, defaultHealthTimeout)
	}
	if c.MaxAge < 0 {
		bad.addf("%s has the MaxAge %s: it must be positive, or 0 to look at each probe", who, c.MaxAge)
	}
	if c.FailureStatus < Healthy || c.FailureStatus > Unhealthy {
		bad.addf("%s has the FailureStatus %d: set Unhealthy (the default) or Degraded", who, int(c.FailureStatus))
	}
}

package middleware

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// HealthStatus is the status of the service or of a part of it. A greater status is worse.
type HealthStatus int

// The statuses, with the same meaning as in ASP.NET Core.
const (
	Healthy   HealthStatus = iota // everything works
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

// defaultHealthTimeout is the timeout of a check without its own.
const defaultHealthTimeout = 5 * time.Second

// HealthCheck is one check of the service's health. The same *HealthCheck may be used in
// several endpoints, for example /live and /ready: at most one run of it is in progress at
// any time among all of them. It must not be changed or copied after it was passed to
// [HealthChecks].
type HealthCheck struct {
	// Name identifies the check in an endpoint, ignoring case. Required.
	Name string

	// Tags are used by endpoints to select checks. They are case-sensitive.
	Tags []string

	// Check runs the check. Required. A result without an error is used as it is: the zero
	// HealthResult is Healthy. With an error the status is FailureStatus and the result's
	// status is ignored, but its description and data are reported. A panic is Unhealthy.
	//
	// The context ends after Timeout, or when no request waits for the result any more. It
	// carries the values of the request that started the run. A Check that ignores its
	// context does not delay the answer, but its goroutine continues, and no other run
	// begins until it has returned: the check counts as failed meanwhile.
	//
	// See [Ping] for functions that only return an error.
	Check func(ctx context.Context) (HealthResult, error)

	// Timeout is the time limit of a run. A run that exceeds it has failed. Default: 5 s.
	Timeout time.Duration

	// FailureStatus is the status after an error or a timeout: Unhealthy, or Degraded if
	// the service works without the checked part. Default: Unhealthy.
	FailureStatus HealthStatus

	// MaxAge is the age, counted from the beginning of the run, up to which a result is
	// reused, so that many probes cause little work. Good and bad results are reused alike;
	// timeouts are not. Default: 0, each probe starts a run; but probes that arrive during
	// a run always share its result.
	MaxAge time.Duration

	state healthState
}

// HealthResult is the result of a check. It is shared between concurrent requests: the data
// that Data refers to must not change any more.
type HealthResult struct {
	// Status is the status. Default: Healthy.
	Status HealthStatus

	// Description is for the readers of the report. It must not contain secrets.
	Description string

	// Data explains the status with values that encoding/json can encode. It must not
	// contain secrets.
	Data map[string]any
}

// Ping makes a Check from a function that only returns an error, such as
// (*sql.DB).PingContext.
func Ping(ping func(ctx context.Context) error) func(context.Context) (HealthResult, error) {
	if ping == nil {
		return nil // reported together with the check's other problems
	}
	return func(ctx context.Context) (HealthResult, error) { return HealthResult{}, ping(ctx) }
}

// probe is a HealthCheck in an endpoint, with the defaults filled in.
type probe struct {
	name    string
	tags    []string
	check   func(context.Context) (HealthResult, error)
	timeout time.Duration
	failure HealthStatus
	maxAge  time.Duration

	*healthState
}

// problems adds the problems of the check at index i.
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
		bad.addf("%s has a nil Check: set the function that runs the check", who)
	}
	if c.Timeout < 0 {
		bad.addf("%s has the Timeout %s: it must be positive, or 0 for %s", who, c.Timeout, defaultHealthTimeout)
	}
	if c.MaxAge < 0 {
		bad.addf("%s has the MaxAge %s: it must be positive, or 0 to run the check at each probe", who, c.MaxAge)
	}
	if c.FailureStatus < Healthy || c.FailureStatus > Unhealthy {
		bad.addf("%s has the FailureStatus %d: set Unhealthy (the default) or Degraded", who, int(c.FailureStatus))
	}
}

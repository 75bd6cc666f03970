package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

// typedNil panics in its Error method.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

// Whatever a check does, the answer reports it and the process continues.
func TestHealthChecksThatMisbehave(t *testing.T) {
	for _, tt := range []struct {
		name        string
		check       func(context.Context) (middleware.HealthResult, error)
		description any
		err         string
	}{
		{"a panic", func(context.Context) (middleware.HealthResult, error) { panic("oops") }, "the check panicked", "the check panicked: oops"},
		{"a panic with nil", func(context.Context) (middleware.HealthResult, error) { panic(nil) }, "the check panicked", "panic called with nil"},
		{"Goexit", func(context.Context) (middleware.HealthResult, error) {
			runtime.Goexit()
			return middleware.HealthResult{}, nil
		}, "the check ended its goroutine", "the check ended its goroutine"},
		{"a nil pointer as error", func(context.Context) (middleware.HealthResult, error) {
			return middleware.HealthResult{}, (*typedNil)(nil)
		}, nil, "<nil>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log logs
			c := &middleware.HealthCheck{Name: "bad", Check: tt.check, FailureStatus: middleware.Unhealthy}
			h := health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{c, constantCheck("good", middleware.Healthy)}, JSON: true, DangerouslyShowErrors: true, Logger: log.logger()})
			for range 2 { // a second time: the failure does not stick
				w := probe(h, "/health")
				require.Equal(t, 503, w.Code)
				e := entries(t, w)["bad"]
				require.Equal(t, "Unhealthy", e["status"])
				require.Equal(t, tt.description, e["description"])
				require.Contains(t, e["error"], tt.err)
				require.Equal(t, "Healthy", entries(t, w)["good"]["status"])
			}
			require.Len(t, log.records(t), 2)
			rec := log.records(t)[0]
			require.Equal(t, "ERROR", rec["level"])
			require.Contains(t, rec["err"], tt.err)
			if strings.Contains(tt.name, "panic") {
				require.Contains(t, rec["stack"], "TestHealthChecksThatMisbehave")
			}
		})
	}
}

func TestHealthChecksPanicIsUnhealthyEvenWhereAFailureIsNot(t *testing.T) {
	c := &middleware.HealthCheck{Name: "a", FailureStatus: middleware.Degraded, Check: func(context.Context) (middleware.HealthResult, error) { panic("oops") }}
	require.Equal(t, "Unhealthy", probe(health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{c}}), "/health").Body.String())
}

// They run concurrently: each waits for the other.
func TestHealthChecksRunConcurrently(t *testing.T) {
	meet := make(chan struct{})
	first := middleware.Ping(func(ctx context.Context) error {
		select {
		case meet <- struct{}{}:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	second := middleware.Ping(func(ctx context.Context) error {
		select {
		case <-meet:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	h := health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{{Name: "1", Check: first}, {Name: "2", Check: second}}})
	require.Equal(t, "Healthy", probe(h, "/health").Body.String())
}

func TestHealthChecksTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heeds := &middleware.HealthCheck{Name: "heeds", Timeout: time.Second, Check: middleware.Ping(func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})}
		usual := &middleware.HealthCheck{Name: "usual", Check: heeds.Check, FailureStatus: middleware.Degraded}
		start := time.Now()
		w := probe(health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{heeds, usual}, JSON: true}), "/health")
		require.Equal(t, 5*time.Second, time.Since(start))
		got := entries(t, w)
		require.Equal(t, "timed out after 1s", got["heeds"]["description"])
		require.Equal(t, "Unhealthy", got["heeds"]["status"])
		require.Equal(t, "timed out after 5s", got["usual"]["description"])
		require.Equal(t, "Degraded", got["usual"]["status"])
		synctest.Wait()
	})
}

// A check that ignores its context costs one goroutine and one timeout.
func TestHealthChecksHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var running atomic.Int32
		c := &middleware.HealthCheck{Name: "hung", Timeout: time.Second, MaxAge: time.Hour, Check: func(context.Context) (middleware.HealthResult, error) {
			running.Add(1)
			defer running.Add(-1)
			<-release
			return middleware.HealthResult{}, nil
		}}
		checks := []*middleware.HealthCheck{c}
		var log logs
		live := health(middleware.HealthChecksOptions{Path: "/live", Checks: checks, JSON: true, Logger: log.logger()})
		ready := health(middleware.HealthChecksOptions{Path: "/ready", Checks: checks, JSON: true, Logger: log.logger()})

		start := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { probe(ready, "/ready") })
		}
		w := probe(live, "/live")
		wg.Wait()
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 503, w.Code)
		require.Equal(t, "timed out after 1s", entries(t, w)["hung"]["description"])

		for range 100 {
			w = probe(ready, "/ready")
			require.Equal(t, time.Second, time.Since(start), "at once")
			require.Equal(t, 503, w.Code)
			require.Equal(t, "timed out after 1s and has not returned yet", entries(t, w)["hung"]["description"])
		}
		require.EqualValues(t, 1, running.Load())

		close(release)
		synctest.Wait()
		require.Zero(t, running.Load())
		w = probe(ready, "/ready")
		require.Equal(t, 200, w.Code, "it recovers: %s", w.Body)
		recs := log.records(t)
		require.Len(t, recs, 2, "once that it hangs, once that it has returned")
		require.Equal(t, "timed out after 1s", recs[0]["description"])
		require.Equal(t, "a health check that took too long has returned", recs[1]["msg"])
	})
}

// A probe that arrives during a run waits for that run, but not beyond its end.
func TestHealthChecksStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		c := &middleware.HealthCheck{Name: "db", Check: middleware.Ping(func(context.Context) error {
			runs.Add(1)
			time.Sleep(time.Second)
			return nil
		})}
		h := health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{c}})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Microsecond)
				if got := probe(h, "/health").Body.String(); got != "Healthy" {
					t.Error(got)
				}
			})
		}
		wg.Wait()
		require.Equal(t, time.Second, time.Since(start))
		require.EqualValues(t, 1, runs.Load())
		probe(h, "/health")
		require.EqualValues(t, 2, runs.Load(), "the next one looks anew")
	})
}

func TestHealthChecksMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		c := &middleware.HealthCheck{Name: "db", MaxAge: 10 * time.Second, Check: middleware.Ping(func(context.Context) error {
			if runs.Add(1)%2 == 1 {
				return errors.New("odd")
			}
			return nil
		})}
		h := health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{c}})
		for i, want := range []struct {
			after time.Duration
			body  string
			runs  int32
		}{{0, "Unhealthy", 1}, {9 * time.Second, "Unhealthy", 1}, {time.Second, "Healthy", 2}, {9 * time.Second, "Healthy", 2}, {time.Second, "Unhealthy", 3}} {
			time.Sleep(want.after)
			require.Equal(t, want.body, probe(h, "/health").Body.String(), i)
			require.Equal(t, want.runs, runs.Load(), i)
		}
	})
}

// The last waiter that leaves cancels the run's context, and a later probe does not use
// that run's result.
func TestHealthChecksAbandonedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		var ended atomic.Bool
		c := &middleware.HealthCheck{Name: "db", MaxAge: time.Hour, Check: middleware.Ping(func(ctx context.Context) error {
			if runs.Add(1) > 1 {
				return nil
			}
			<-ctx.Done()
			ended.Store(true)
			time.Sleep(time.Second) // it notices late
			return ctx.Err()
		})}
		var log logs
		h := health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{c}, JSON: true, Logger: log.logger()})
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		cut := httptest.NewRecorder()
		wg.Go(func() { h.ServeHTTP(cut, httptest.NewRequestWithContext(ctx, http.MethodGet, "/health", nil)) })
		ctx2, leave2 := context.WithCancel(t.Context())
		wg.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx2, http.MethodGet, "/health", nil))
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		require.Equal(t, 503, cut.Code, "no 200 from an abandoned run")
		require.Equal(t, "the request ended before the check", entries(t, cut)["db"]["description"])
		require.False(t, ended.Load(), "another request still waits")
		leave2()
		wg.Wait()
		synctest.Wait()
		require.True(t, ended.Load())

		start := time.Now()
		w := probe(h, "/health")
		require.Equal(t, 200, w.Code, "%s", w.Body)
		require.Equal(t, time.Second, time.Since(start), "it waited for the first run to end, and began its own")
		require.EqualValues(t, 2, runs.Load())
		require.Empty(t, log.records(t), "nothing went wrong")

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodGet, "/health", nil))
		require.Equal(t, 503, w.Code)
		require.EqualValues(t, 2, runs.Load(), "no run starts for a request that has ended")
	})
}

// The same with an abandoned run that ignores its context: the wait is bounded.
func TestHealthChecksAbandonedAndHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := &middleware.HealthCheck{Name: "db", Timeout: 2 * time.Second, Check: middleware.Ping(func(context.Context) error {
			<-release
			return nil
		})}
		h := health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{c}, JSON: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/health", nil))
		start := time.Now()
		w := probe(h, "/health")
		require.Equal(t, time.Second, time.Since(start), "until the first run's time is over")
		require.Equal(t, "timed out after 2s and has not returned yet", entries(t, w)["db"]["description"])
		close(release)
		synctest.Wait()
	})
}

type traceKey struct{}

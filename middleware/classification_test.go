package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// errDriver is an error of a library that does not wrap the context's error.
var errDriver = errors.New("driver: canceling statement due to user request")

// sendRaw writes text over a connection of its own, half-closes it if half is set, and returns the answer.
func sendRaw(t *testing.T, srv *httptest.Server, text string, half bool) (*http.Response, error) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	if half {
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, res.Body.Close())
	}
	return res, err
}

// The contexts below Timeout, and below components that merge contexts, are cancelled in
// another goroutine: later than the read of the body fails.
func TestBrokenUploadsBelowDerivedContexts(t *testing.T) {
	const uploads = 50
	merged := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
			defer cancel()
			defer context.AfterFunc(r.Context(), cancel)()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	timeout := middleware.Timeout(time.Minute)
	for _, tt := range []struct {
		name  string
		stack []pipeline.Middleware
	}{
		{"no derived context", nil},
		{"Timeout", []pipeline.Middleware{timeout}},
		{"nested Timeouts", []pipeline.Middleware{timeout, timeout}},
		{"Timeout above a Recover", []pipeline.Middleware{timeout, nil}},
		{"a merged context", []pipeline.Middleware{merged}},
		{"Timeout and BodyLimit", []pipeline.Middleware{timeout, middleware.BodyLimit(1 << 20)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var access, errs logs
			rec := middleware.Recover(middleware.RecoverOptions{Logger: errs.all()})
			b := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: access.logger()}), rec)
			for _, m := range tt.stack {
				if m == nil {
					m = rec
				}
				b.Use(m)
			}
			srv := httptest.NewServer(counted(b.Run(reads).MustBuild()))
			defer srv.Close()
			for range uploads {
				_, _ = sendRaw(t, srv, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", true)
			}
			srv.Close()
			records := errs.records(t)
			require.Len(t, records, uploads)
			for _, record := range records {
				require.Equal(t, "DEBUG", record["level"], record)
				require.Equal(t, "the client left", record["msg"])
			}
			for _, record := range access.records(t) {
				require.EqualValues(t, 499, group(record, "response")["status"])
				require.Equal(t, "INFO", record["level"])
			}
		})
	}
}

// Errors of libraries that do not wrap the context's error count as its consequence.
func TestErrorsThatDoNotWrapTheContexts(t *testing.T) {
	left := func(err error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { middleware.Fail(w, r, err) }
	}
	panics := func(v any) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { panic(v) }
	}
	for _, tt := range []struct {
		name          string
		h             http.Handler
		left, expired int    // the statuses after a client that left, and after a time-out
		leftLevel     string // of Recover's record
	}{
		{"returned", handlerReturning(errDriver), 499, 504, "DEBUG"},
		{"wrapped", handlerReturning(fmt.Errorf("query: %w", errDriver)), 499, 504, "DEBUG"},
		{"Fail", left(errDriver), 499, 504, "DEBUG"},
		{"panic with an error", panics(errDriver), 499, 504, "DEBUG"},
		{"a 5xx of the handler", handlerReturning(&middleware.Problem{Status: 503, Err: errDriver}), 499, 503, "DEBUG"},
		{"a 4xx of the handler", handlerReturning(&middleware.Problem{Status: 409, Err: errDriver}), 409, 409, "INFO"},
		{"panic with a text", panics("a mistake"), 500, 500, "ERROR"},
		{"panic of the runtime", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = []int{}[len(r.Host):][0] }), 500, 500, "ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Run("the client left", func(t *testing.T) {
				var l logs
				ctx, cancel := context.WithCancel(t.Context())
				h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: l.all()}), middleware.Timeout(time.Hour)).
					RunFunc(func(w http.ResponseWriter, r *http.Request) { cancel(); tt.h.ServeHTTP(w, r) }).MustBuild()
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
				require.Equal(t, tt.left, w.Code)
				require.Len(t, l.records(t), 1)
				require.Equal(t, tt.leftLevel, l.records(t)[0]["level"])
			})
			t.Run("timed out", func(t *testing.T) {
				var seen error
				h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: (&logs{}).logger(), Problem: func(_ *http.Request, err error) *middleware.Problem {
					seen = err
					return nil
				}}), middleware.Timeout(time.Millisecond)).
					RunFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); tt.h.ServeHTTP(w, r) }).MustBuild()
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				require.Equal(t, tt.expired, w.Code)
				if tt.expired == 504 {
					require.ErrorIs(t, seen, middleware.ErrTimeout)
					require.ErrorIs(t, seen, context.DeadlineExceeded)
					require.ErrorIs(t, seen, errDriver, "the handler's own error is there too")
				}
			})
			t.Run("neither", func(t *testing.T) {
				w := httptest.NewRecorder()
				pipeline.New().Use(quiet(), middleware.Timeout(time.Hour)).Run(tt.h).MustBuild().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				if tt.left == 499 {
					require.GreaterOrEqual(t, w.Code, 500)
				}
			})
		})
	}
}

// A deadline of another component counts as a time-out; its cause is in the error's chain.
func TestDeadlinesOfOtherComponents(t *testing.T) {
	cause := errors.New("the budget of the tenant is spent")
	var seen error
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: (&logs{}).logger(), Problem: func(_ *http.Request, err error) *middleware.Problem {
		seen = err
		return nil
	}})).UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		ctx, cancel := context.WithDeadlineCause(r.Context(), time.Unix(0, 0), cause)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	}).Run(handlerReturning(errDriver)).MustBuild()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 504, w.Code)
	require.ErrorIs(t, seen, cause)
	require.ErrorIs(t, seen, context.DeadlineExceeded)
	require.NotErrorIs(t, seen, os.ErrDeadlineExceeded)
}

// A body that fails after the time-out does not make the client the one who ended the request.
func TestBodiesThatFailAfterATimeout(t *testing.T) {
	h := pipeline.New().Use(quiet(), middleware.Timeout(time.Millisecond)).Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		_, err := io.Copy(io.Discard, r.Body)
		return err
	})).MustBuild()
	for want, failure := range map[int]error{504: io.ErrUnexpectedEOF, 400: errors.New("malformed")} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", failingReader{failure}))
		require.Equal(t, want, w.Code)
	}
}

// An error or a cause whose methods panic is a failure like any other.
func TestErrorsWhoseMethodsPanicAfterTheEnd(t *testing.T) {
	for _, cause := range []error{nil, panickingError{}} {
		h := pipeline.New().Use(quiet()).UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			ctx, cancel := context.WithDeadlineCause(r.Context(), time.Unix(0, 0), cause)
			defer cancel()
			next.ServeHTTP(w, r.WithContext(ctx))
		}).Run(handlerReturning(panickingError{})).MustBuild()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", failingReader{errDriver}))
		require.GreaterOrEqual(t, w.Code, 500)
	}
}

type panickingError struct{}

func (panickingError) Error() string   { panic("in Error") }
func (panickingError) Is(error) bool   { panic("in Is") }
func (panickingError) As(any) bool     { panic("in As") }
func (panickingError) Unwrap() []error { panic("in Unwrap") }

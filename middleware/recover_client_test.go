package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

// A client that left is not a failure; AccessLog has the status 499.
func TestTheClientLeft(t *testing.T) {
	for way, h := range map[string]func(chan<- struct{}) http.Handler{
		"panic": func(entered chan<- struct{}) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				entered <- struct{}{}
				<-r.Context().Done()
				panic(fmt.Errorf("asking the database: %w", r.Context().Err()))
			})
		},
		"HandlerFunc": func(entered chan<- struct{}) http.Handler {
			return middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				entered <- struct{}{}
				<-r.Context().Done()
				return fmt.Errorf("asking the database: %w", r.Context().Err())
			})
		},
	} {
		for _, order := range []string{"log inside", "log outside"} {
			t.Run(way+"/"+order, func(t *testing.T) {
				access, errs := &logs{}, &logs{}
				entered := make(chan struct{}, 1)
				log := middleware.AccessLog(middleware.AccessLogOptions{Logger: access.logger()})
				rec := middleware.Recover(middleware.RecoverOptions{Logger: errs.all()})
				whole := log(rec(h(entered)))
				if order == "log inside" {
					whole = rec(log(h(entered)))
				}
				whole, ended := ending(whole)
				overBothProtocols(t, whole, func(t *testing.T, srv *httptest.Server) {
					access.buf.Reset()
					errs.buf.Reset()
					leave(t, srv, entered, nil)
					<-ended
					require.EqualValues(t, 499, group(access.records(t)[0], "response")["status"])
					require.Equal(t, "INFO", access.records(t)[0]["level"])
					require.Len(t, errs.records(t), 1)
					require.Equal(t, "DEBUG", errs.records(t)[0]["level"])
					require.Equal(t, "the client left", errs.records(t)[0]["msg"])
				})
			})
		}
	}
}

// ending returns a handler and a channel that is closed when the handlers have returned,
// which a server does not report for a client that has left.
func ending(h http.Handler) (http.Handler, <-chan struct{}) {
	ended := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		h.ServeHTTP(w, r)
	}), ended
}

// leave sends a request and cancels it once the handler runs.
func leave(t *testing.T, srv *httptest.Server, entered <-chan struct{}, body io.Reader) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, body)
	require.NoError(t, err)
	go func() { <-entered; cancel() }()
	res, err := srv.Client().Do(req)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	require.ErrorIs(t, err, context.Canceled)
}

// An error caused by the client leaving is not a failure either: of a write, or of a read
// of the rest of the body.
func TestIOErrorsOfAClientThatLeft(t *testing.T) {
	for name, f := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"write": func(w http.ResponseWriter, _ *http.Request) error {
			for {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return fmt.Errorf("writing: %w", err)
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					return fmt.Errorf("flushing: %w", err)
				}
			}
		},
		"read": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return fmt.Errorf("reading: %w", err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			entered := make(chan struct{}, 1)
			h := middleware.Recover(middleware.RecoverOptions{Logger: l.all()})(middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				entered <- struct{}{}
				if name == "write" {
					<-r.Context().Done()
				}
				return f(w, r)
			}))
			whole, ended := ending(h)
			overBothProtocols(t, whole, func(t *testing.T, srv *httptest.Server) {
				l.buf.Reset()
				var body io.Reader
				if name == "read" {
					if srv.TLS == nil {
						return // HTTP/1.1 does not cancel the context for that
					}
					r, w := io.Pipe()
					defer w.Close()
					go func() { _, _ = io.WriteString(w, "half of it") }()
					body = r
				}
				leave(t, srv, entered, body)
				<-ended
				records := l.records(t)
				require.Len(t, records, 1)
				require.Equal(t, "DEBUG", records[0]["level"], records)
			})
		})
	}
}

// If the server ends by cancelling the requests of connected clients, that is a failure.
func TestAServerThatEndsIsNoClientThatLeft(t *testing.T) {
	l := &logs{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt"))
	w := httptest.NewRecorder()
	middleware.Recover(middleware.RecoverOptions{Logger: l.all()})(handlerReturning(context.Canceled)).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	require.Equal(t, 500, w.Code)
	require.Equal(t, "ERROR", l.records(t)[0]["level"])
}

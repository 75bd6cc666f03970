package middleware_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// A client that leaves in the middle of an answer raises no alarm, however the handler ends.
func TestAccessLogOfAClientThatLeavesInTheMiddle(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) error {
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return err
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			if err := r.Context().Err(); err != nil {
				return err
			}
		}
	}
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = endless(w, r) })
	for _, tt := range []struct {
		name string
		h    func(t *testing.T) http.Handler
	}{
		{"a proxied stream", func(t *testing.T) http.Handler { return proxyTo(t, upstream) }},
		{"a proxied stream below Timeout", func(t *testing.T) http.Handler {
			return middleware.Timeout(time.Hour)(proxyTo(t, upstream))
		}},
		{"a HandlerFunc", func(*testing.T) http.Handler { return middleware.HandlerFunc(endless) }},
		{"a handler that aborts", func(*testing.T) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = endless(w, r)
				panic(http.ErrAbortHandler)
			})
		}},
		{"a handler that returns", func(*testing.T) http.Handler { return upstream }},
	} {
		for _, order := range []string{"log outside", "log inside"} {
			t.Run(tt.name+"/"+order, func(t *testing.T) {
				var access logs
				log := middleware.AccessLog(middleware.AccessLogOptions{Logger: access.logger()})
				stack := []pipeline.Middleware{log, quiet()}
				if order == "log inside" {
					stack = []pipeline.Middleware{quiet(), log}
				}
				h, ended := ending(pipeline.New().Use(stack...).Run(tt.h(t)).MustBuild())
				overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
					access.buf.Reset()
					res, err := srv.Client().Get(srv.URL)
					require.NoError(t, err)
					_, err = io.ReadFull(res.Body, make([]byte, 100))
					require.NoError(t, err)
					require.NoError(t, res.Body.Close()) // the rest of the body is not wanted
					<-ended
					records := access.records(t)
					require.Len(t, records, 1)
					require.Equal(t, "INFO", records[0]["level"], records[0])
					require.EqualValues(t, 200, group(records[0], "response")["status"])
					require.Equal(t, true, group(records[0], "response")["aborted"])
				})
			})
		}
	}
}

// A 5xx is an alarm if the client was there when it was chosen.
func TestAccessLogOfFailuresAndClientsThatLeave(t *testing.T) {
	for _, tt := range []struct {
		name   string
		h      func(w http.ResponseWriter, leave func())
		status int
		level  string
	}{
		{"a 502 after the client left", func(w http.ResponseWriter, leave func()) { leave(); w.WriteHeader(502) }, 502, "INFO"},
		{"a 502 before the client left", func(w http.ResponseWriter, leave func()) { w.WriteHeader(502); leave() }, 502, "ERROR"},
		{"a 502 with a client", func(w http.ResponseWriter, _ func()) { w.WriteHeader(502) }, 502, "ERROR"},
		{"an abort after the client left", func(_ http.ResponseWriter, leave func()) { leave(); panic(http.ErrAbortHandler) }, 499, "INFO"},
		{"an abort with a client", func(http.ResponseWriter, func()) { panic(http.ErrAbortHandler) }, 0, "ERROR"},
		{"an abort in the middle with a client", func(w http.ResponseWriter, _ func()) { w.WriteHeader(200); panic(http.ErrAbortHandler) }, 200, "ERROR"},
		{"an abort in the middle after the client left", func(w http.ResponseWriter, leave func()) { w.WriteHeader(200); leave(); panic(http.ErrAbortHandler) }, 200, "INFO"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var access logs
			ctx, leave := context.WithCancel(t.Context())
			h := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: access.logger()}), middleware.Timeout(time.Hour)).
				RunFunc(func(w http.ResponseWriter, _ *http.Request) { tt.h(w, leave) }).MustBuild()
			func() {
				defer func() { _ = recover() }()
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
			}()
			rec := access.records(t)[0]
			require.Equal(t, tt.level, rec["level"])
			require.EqualValues(t, tt.status, group(rec, "response")["status"])
		})
	}
}

package middleware_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestRequestID(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fail" {
			panic(errors.New("oops"))
		}
		_, _ = io.WriteString(w, middleware.RequestIDFrom(r.Context()))
	})
	quiet := middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})
	overBothProtocols(t, pipeline.New().Use(quiet, middleware.RequestID(middleware.RequestIDOptions{})).Run(echo).MustBuild(), func(t *testing.T, srv *httptest.Server) {
		seen := map[string]bool{}
		for range 10 {
			res, body, err := get(t, srv, "/", "X-Request-Id", "chosen")
			require.NoError(t, err)
			id := res.Header.Get("X-Request-Id")
			require.Regexp(t, "^[0-9a-f]{32}$", id)
			require.Equal(t, id, body)
			seen[id] = true
		}
		require.Len(t, seen, 10)
		res, _, err := get(t, srv, "/fail")
		require.NoError(t, err)
		require.Equal(t, 500, res.StatusCode)
		require.Len(t, res.Header["X-Request-Id"], 1, "also on an error")
	})
}

func TestIncomingRequestID(t *testing.T) {
	h := middleware.RequestID(middleware.RequestIDOptions{Header: "traceparent", Incoming: true})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, middleware.RequestIDFrom(r.Context()))
	}))
	for _, tt := range []struct {
		name  string
		in    []string
		taken bool
	}{
		{"a good one", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, true},
		{"all that may be in it", []string{"aZ09-_.:+/=@"}, true},
		{"the longest", []string{strings.Repeat("a", 128)}, true},
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"two", []string{"a", "b"}, false},
		{"too long", []string{strings.Repeat("a", 129)}, false},
		{"a forged log line", []string{"a level=ERROR"}, false},
		{"a quote", []string{`a"b`}, false},
		{"not ASCII", []string{"é"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Traceparent"] = tt.in
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, w.Body.String(), w.Header().Get("Traceparent"))
			if tt.taken {
				require.Equal(t, tt.in[0], w.Body.String())
			} else {
				require.Regexp(t, "^[0-9a-f]{32}$", w.Body.String())
			}
			require.Equal(t, tt.in, r.Header["Traceparent"], "the request stays as it was")
		})
	}
}

func TestTheFirstRequestIDCounts(t *testing.T) {
	var inside string
	h := pipeline.New().Use(middleware.RequestID(middleware.RequestIDOptions{}), middleware.RequestID(middleware.RequestIDOptions{Header: "X-Other"})).
		RunFunc(func(_ http.ResponseWriter, r *http.Request) { inside = middleware.RequestIDFrom(r.Context()) }).MustBuild()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, w.Header().Get("X-Request-Id"), inside)
	require.Empty(t, w.Header()["X-Other"])
}

func TestNoRequestID(t *testing.T) {
	require.Empty(t, middleware.RequestIDFrom(t.Context()))
	_, err := pipeline.New().Use(middleware.RequestID(middleware.RequestIDOptions{Header: "X Request"})).Build()
	require.ErrorContains(t, err, `middleware.RequestID: Header is "X Request"`)
}

// Recover's log record has the id that the client got.
func TestRequestIDInFailures(t *testing.T) {
	l := &logs{}
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: l.logger()}), middleware.RequestID(middleware.RequestIDOptions{})).
		RunFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }).MustBuild()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, w.Header().Get("X-Request-Id"), group(l.records(t)[0], "request")["id"])
}

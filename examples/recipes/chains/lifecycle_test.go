package chains_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/felixge/httpsnoop"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/require"
	"github.com/urfave/negroni/v3"

	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/pipeline"
)

// unwrapper offers the three methods of http.ResponseWriter and an Unwrap, as many
// services' own wrappers do.
type unwrapper struct{ w http.ResponseWriter }

func (u *unwrapper) Header() http.Header         { return u.w.Header() }
func (u *unwrapper) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u *unwrapper) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u *unwrapper) Unwrap() http.ResponseWriter { return u.w }

// wrapping makes a component from a function that wraps the writer.
func wrapping(wrap func(http.ResponseWriter, *http.Request) http.ResponseWriter) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrap(w, r), r) })
	}
}

var wrappers = map[string]pipeline.Middleware{
	"chi": wrapping(func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
		return chimiddleware.NewWrapResponseWriter(w, r.ProtoMajor)
	}),
	"negroni": wrapping(func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
		return negroni.NewResponseWriter(w)
	}),
	"unwrap": wrapping(func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return &unwrapper{w} }),
	"httpsnoop": wrapping(func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
		return httpsnoop.Wrap(w, httpsnoop.Hooks{})
	}),
}

// writePath is a way in which a response starts.
type writePath struct {
	name   string
	status int
	body   string
	http1  bool // HTTP/1.1 only
	f      func(w http.ResponseWriter) error
}

var writePaths = []writePath{
	{"WriteHeader", 201, "", false, func(w http.ResponseWriter) error { w.WriteHeader(201); return nil }},
	{"WriteHeader, Write", 404, "no", false, func(w http.ResponseWriter) error {
		w.WriteHeader(404)
		_, err := w.Write([]byte("no"))
		return err
	}},
	{"Write", 200, "body", false, func(w http.ResponseWriter) error { _, err := w.Write([]byte("body")); return err }},
	{"WriteString", 200, "body", false, func(w http.ResponseWriter) error { _, err := io.WriteString(w, "body"); return err }},
	{"ReadFrom", 200, strings.Repeat("long ", 1000), false, func(w http.ResponseWriter) error {
		_, err := io.Copy(w, strings.NewReader(strings.Repeat("long ", 1000)))
		return err
	}},
	{"Flush by assertion, if available", 200, "", false, func(w http.ResponseWriter) error {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		return nil
	}},
	{"Flush by the controller, then Write", 200, "body", false, func(w http.ResponseWriter) error {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		_, err := w.Write([]byte("body"))
		return err
	}},
	{"early hints, then Write", 200, "body", false, func(w http.ResponseWriter) error {
		w.WriteHeader(http.StatusEarlyHints)
		_, err := w.Write([]byte("body"))
		return err
	}},
	{"none", 200, "", false, func(http.ResponseWriter) error { return nil }},
	{"Hijack", 101, "", true, func(w http.ResponseWriter) error {
		w.WriteHeader(101)
		return hijack(w)
	}},
	{"Hijack alone", 101, "", true, hijack},
}

// hijack ends the connection; if nothing was sent before, it sends a 101 with the headers,
// as wsmanager does.
func hijack(w http.ResponseWriter) error {
	header := w.Header()
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	return answer(conn, rw, header)
}

func answer(conn net.Conn, rw *bufio.ReadWriter, header http.Header) error {
	if header.Get("X-Watch") == "" {
		return fmt.Errorf("the callbacks come too late for the 101")
	}
	if _, err := fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nX-Watch: %s\r\n\r\n", header.Get("X-Watch")); err != nil {
		return err
	}
	return rw.Flush()
}

// permutations of the names, three at a time.
func permutations(names []string) (all [][]string) {
	for _, a := range names {
		for _, b := range names {
			for _, c := range names {
				if a != b && b != c && a != c {
					all = append(all, []string{a, b, c})
				}
			}
		}
	}
	return all
}

// Three wrappers of other libraries in every order, with an observer at every position:
// every write path starts the response once.
func TestLifecycle(t *testing.T) {
	for _, names := range permutations([]string{"chi", "negroni", "unwrap", "httpsnoop"}) {
		for at := range 4 { // 0: the observer is outermost; 3: innermost
			seen := make(chan rt.Seen, 10)
			var use []pipeline.Middleware
			for i, name := range names {
				if i == at {
					use = append(use, rt.Watch(seen))
				}
				use = append(use, wrappers[name])
			}
			if at == len(names) {
				use = append(use, rt.Watch(seen))
			}
			failed := make(chan error, 1)
			mux := http.NewServeMux()
			for i, d := range writePaths {
				mux.HandleFunc(fmt.Sprintf("/%d", i), func(w http.ResponseWriter, _ *http.Request) { failed <- d.f(w) })
			}
			h := viaAlice(use, mux)
			t.Run(fmt.Sprintf("%s observed at %d", strings.Join(names, " "), at), func(t *testing.T) {
				for _, http2 := range []bool{false, true} {
					srv := rt.Serve(t, h, http2)
					for i, d := range writePaths {
						if d.http1 && http2 {
							continue
						}
						checkWritePath(t, srv, d, fmt.Sprintf("/%d", i), failed, seen)
					}
				}
			})
		}
	}
}

func checkWritePath(t *testing.T, srv *httptest.Server, d writePath, target string, failed <-chan error, seen <-chan rt.Seen) {
	t.Helper()
	var res rt.Answer
	if d.status == 101 {
		res = rt.Raw(t, srv, target, "Connection", "Upgrade", "Upgrade", "test")
	} else {
		res = rt.Do(t, srv, "GET", target)
		require.NoError(t, res.Err, d.name)
		require.Equal(t, d.body, res.Text, d.name)
	}
	require.NoError(t, rt.Receive(t, failed), d.name)
	require.Equal(t, d.status, res.StatusCode, d.name)
	require.Equal(t, []string{fmt.Sprint(d.status)}, res.Header.Values("X-Watch"), d.name)
	require.Equal(t, rt.Seen{
		Starts: []int{d.status}, Status: d.status, Bytes: int64(len(d.body)), Upgraded: d.status == 101,
	}, rt.Receive(t, seen), d.name)
}

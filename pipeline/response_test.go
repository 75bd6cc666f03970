package pipeline_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// mark registers callbacks that note their order in a header, and reports what
// the response says of itself when it is complete.
func mark(name string, done func(*pipeline.Response)) pipeline.Middleware {
	return pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		must(res.OnStarting(func(h http.Header, status int) {
			h.Add("X-Order", fmt.Sprintf("%s:%d", name, status))
		}))
		if done != nil {
			must(res.OnCompleted(func() { done(res) }))
		}
		next.ServeHTTP(w, r)
	})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// unwrapOnly is a third-party wrapper that hides every optional interface but
// for its Unwrap.
type unwrapOnly struct{ w http.ResponseWriter }

func (u unwrapOnly) Header() http.Header         { return u.w.Header() }
func (u unwrapOnly) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapOnly) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.w }

func hide(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(unwrapOnly{w}, r) })
}

// doors are the ways in which a response starts.
var doors = []struct {
	name   string
	http1  bool // HTTP/1.1 only
	status int
	body   string
	open   http.HandlerFunc
}{
	{"none", false, 200, "", func(http.ResponseWriter, *http.Request) {}},
	{"WriteHeader", false, 418, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }},
	{"WriteHeader 204", false, 204, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
	{"WriteHeader 304", false, 304, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }},
	{"Write", false, 200, "hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }},
	{"WriteString", false, 200, "hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }},
	{"ReadFrom", false, 200, "hello", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("hello")})
	}},
	{"Flush", false, 200, "late", func(w http.ResponseWriter, _ *http.Request) {
		must(http.NewResponseController(w).Flush())
		w.WriteHeader(500) // too late: the client has seen 200
		_, _ = io.WriteString(w, "late")
	}},
	{"Flusher", false, 200, "", func(w http.ResponseWriter, _ *http.Request) {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
			return
		}
		must(http.NewResponseController(w).Flush())
	}},
	{"1xx is no start", false, 202, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</x>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(202)
	}},
	{"Hijack", true, 101, "", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		must(err)
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\nX-Order: "+strings.Join(w.Header()["X-Order"], "\r\nX-Order: ")+"\r\n\r\n")
	}},
	{"WriteHeader 101 and Hijack", true, 101, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "x")
		w.WriteHeader(101)
		conn, _, err := http.NewResponseController(w).Hijack()
		must(err)
		_ = conn.Close()
	}},
}

func TestEveryDoor(t *testing.T) {
	stacks := map[string]func(pipeline.Middleware, http.Handler) http.Handler{
		"direct":              func(mw pipeline.Middleware, h http.Handler) http.Handler { return mw(h) },
		"Unwrap-only inside":  func(mw pipeline.Middleware, h http.Handler) http.Handler { return mw(hide(h)) },
		"Unwrap-only outside": func(mw pipeline.Middleware, h http.Handler) http.Handler { return hide(mw(h)) },
		"Unwrap-only thrice":  func(mw pipeline.Middleware, h http.Handler) http.Handler { return hide(hide(mw(hide(h)))) },
	}
	for _, d := range doors {
		for _, http2 := range []bool{false, true} {
			if http2 && d.http1 {
				continue
			}
			for name, stack := range stacks {
				t.Run(fmt.Sprintf("%s/http2=%v/%s", d.name, http2, name), func(t *testing.T) {
					type end struct {
						status   int
						bytes    int64
						upgraded bool
					}
					ended := make(chan end, 1)
					outer := mark("outer", func(res *pipeline.Response) {
						ended <- end{res.Status(), res.BytesWritten(), res.Upgraded()}
					})
					both := func(h http.Handler) http.Handler { return outer(mark("inner", nil)(h)) }
					srv := serveTest(t, stack(both, d.open), http2)
					res, body := get(t, srv, "/")
					require.Equal(t, d.status, res.StatusCode)
					require.Equal(t, d.body, body)
					// The last registered first, once, and in time for the client.
					require.Equal(t, []string{fmt.Sprintf("inner:%d", d.status), fmt.Sprintf("outer:%d", d.status)}, res.Header["X-Order"])
					require.Equal(t, end{d.status, int64(len(d.body)), d.status == 101}, <-ended)
				})
			}
		}
	}
}

func TestHead(t *testing.T) {
	srv := serveTest(t, mark("a", nil)(text("hello")), false)
	res, err := srv.Client().Head(srv.URL)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "a:200", res.Header.Get("X-Order"))
	require.EqualValues(t, 5, res.ContentLength)
}

func TestRegisteringTooLate(t *testing.T) {
	var starting, completed, inCallback, afterEnd, completedAfterEnd error
	var kept *pipeline.Response
	ran := 0
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		kept = res
		must(res.OnStarting(func(http.Header, int) { inCallback = res.OnStarting(func(http.Header, int) { ran++ }) }))
		require.False(t, res.Started())
		require.Zero(t, res.Status())
		next.ServeHTTP(w, r)
		require.True(t, res.Started())
		starting = res.OnStarting(func(http.Header, int) { ran++ })
		completed = res.OnCompleted(func() { ran += 10 })
	})(text("x"))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	afterEnd = kept.OnStarting(func(http.Header, int) { ran++ })
	completedAfterEnd = kept.OnCompleted(func() { ran++ })
	require.ErrorIs(t, starting, pipeline.ErrResponseStarted)
	require.ErrorIs(t, inCallback, pipeline.ErrResponseStarted)
	require.ErrorIs(t, afterEnd, pipeline.ErrResponseStarted)
	require.ErrorIs(t, completedAfterEnd, pipeline.ErrResponseCompleted)
	require.NoError(t, completed)
	require.Equal(t, 10, ran)
}

func TestOnCompletedRunsLastFirstAndAllOfThem(t *testing.T) {
	var order []string
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		must(res.OnCompleted(func() { order = append(order, "first") }))
		must(res.OnCompleted(func() { panic("in the middle") }))
		must(res.OnCompleted(func() { order = append(order, "last") }))
		next.ServeHTTP(w, r)
		order = append(order, "returned")
	})(text("x"))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, []string{"returned", "last", "first"}, order)
}

func TestPanics(t *testing.T) {
	run := func(h http.Handler) (v any, w *httptest.ResponseRecorder) {
		w = httptest.NewRecorder()
		defer func() { v = recover() }()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return nil, w
	}
	t.Run("nobody handled it: no OnStarting, but OnCompleted", func(t *testing.T) {
		completed := false
		v, w := run(mark("a", func(res *pipeline.Response) {
			completed = true
			require.False(t, res.Started())
		})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") })))
		require.Equal(t, "oops", v)
		require.Empty(t, w.Header())
		require.True(t, completed)
	})
	t.Run("a callback panics: the rest are skipped, nothing has started", func(t *testing.T) {
		skipped := true
		h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
			must(res.OnStarting(func(http.Header, int) { skipped = false }))
			must(res.OnStarting(func(http.Header, int) { panic("in a callback") }))
			defer func() {
				require.Equal(t, "in a callback", recover())
				require.False(t, res.Started())
				must(res.OnStarting(func(h http.Header, status int) { h.Set("X-Again", fmt.Sprint(status)) }))
				w.WriteHeader(500)
			}()
			next.ServeHTTP(w, r)
		})(text("never seen"))
		v, w := run(h)
		require.Nil(t, v)
		require.True(t, skipped)
		require.Equal(t, 500, w.Code)
		require.Equal(t, "500", w.Header().Get("X-Again"))
		require.Empty(t, w.Body)
	})
	t.Run("a status that net/http refuses starts nothing", func(t *testing.T) {
		h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
			defer func() {
				require.NotNil(t, recover())
				require.False(t, res.Started())
				w.WriteHeader(500)
			}()
			next.ServeHTTP(w, r)
		})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(42) }))
		_, w := run(h)
		require.Equal(t, 500, w.Code)
	})
}

// A handler that panics with a hijacked connection in its hands does not leave
// the client hanging.
func TestPanicAfterHijackEndsTheConnection(t *testing.T) {
	srv := serveTest(t, mark("a", nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		must(err)
		panic(http.ErrAbortHandler)
	})), false)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	_, err = bufio.NewReader(conn).ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func TestFailedHijackStartsNothing(t *testing.T) {
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		must(res.OnStarting(func(h http.Header, _ int) { h.Set("X-Once", h.Get("X-Once")+"!") }))
		next.ServeHTTP(w, r)
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, ok := pipeline.ResponseFrom(r)
		require.True(t, ok)
		_, _, err := w.(http.Hijacker).Hijack()
		require.Error(t, err)
		require.False(t, res.Started())
		require.False(t, res.Upgraded())
		http.Error(w, "no", http.StatusServiceUnavailable)
	}))
	w := failingHijacker{httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "!", w.Header().Get("X-Once"))
}

type failingHijacker struct{ *httptest.ResponseRecorder }

func (failingHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("not today")
}

// Whoever is given another writer still finds the outer response, also from
// another goroutine.
func TestTimeoutHandlerInBetween(t *testing.T) {
	h := mark("outer", nil)(http.TimeoutHandler(mark("inner", nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, ok := pipeline.ResponseFrom(r)
		if !ok || res.Started() {
			panic("no response, or started")
		}
		if r.URL.Query().Has("slow") {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "quick")
	})), 50*time.Millisecond, "too slow"))
	srv := serveTest(t, h, false)
	res, body := get(t, srv, "/")
	require.Equal(t, "quick", body)
	require.Equal(t, []string{"inner:200", "outer:200"}, res.Header["X-Order"])
	res, body = get(t, srv, "/?slow")
	require.Equal(t, "too slow", body)
	require.Equal(t, []string{"inner:503", "outer:503"}, res.Header["X-Order"])
}

func TestResponseFromNeverMakesOne(t *testing.T) {
	_, ok := pipeline.ResponseFrom(httptest.NewRequest(http.MethodGet, "/", nil))
	require.False(t, ok)
}

// The observed request's context is as good as any: values, deadlines and
// cancellation pass through.
func TestContextPassesThrough(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, "v"), time.Now().Add(time.Hour))
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	mark("a", nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		require.Equal(t, "v", r.Context().Value(key{}))
		_, ok := r.Context().Deadline()
		require.True(t, ok)
		child, stop := context.WithCancel(r.Context())
		defer stop()
		require.NoError(t, child.Err())
		cancel()
		<-child.Done()
		require.ErrorIs(t, r.Context().Err(), context.Canceled)
	})).ServeHTTP(httptest.NewRecorder(), r)
}

// Optional interfaces are the writer's own, neither more nor fewer.
func TestInterfacesAreKept(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) {
			check := func(w http.ResponseWriter) string {
				_, f := w.(http.Flusher)
				_, fe := w.(interface{ FlushError() error })
				_, h := w.(http.Hijacker)
				_, rf := w.(io.ReaderFrom)
				_, sw := w.(io.StringWriter)
				_, p := w.(http.Pusher)
				return fmt.Sprint(f, fe, h, rf, sw, p)
			}
			var outside, inside string
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				outside = check(w)
				mark("a", nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					inside = check(w)
					must(http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)))
				})).ServeHTTP(w, r)
			})
			get(t, serveTest(t, h, http2), "/")
			require.Equal(t, outside, inside)
		})
	}
}

// What components below find out is there for those above.
func TestTellingTheComponentsAbove(t *testing.T) {
	type key struct{}
	var route string
	var val, other any
	var flushed [2]bool
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
		route, val, other = res.Route(), res.Value(key{}), res.Value("another")
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, _ := pipeline.ResponseFrom(r)
		res.SetRoute("GET /x")
		res.SetValue(key{}, 1)
		res.SetValue(key{}, 2)
		_, _ = io.WriteString(w, "x")
		flushed[0] = res.Flushed()
		must(http.NewResponseController(w).Flush())
		flushed[1] = res.Flushed()
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "GET /x", route)
	require.Equal(t, 2, val)
	require.Nil(t, other)
	require.Equal(t, [2]bool{false, true}, flushed)
}

package pipeline_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// forEachProtocol runs a test over HTTP/1.1 and HTTP/2, and over HTTP/2 both with the
// writers that are wrapped by hand and with all of them left to httpsnoop, which is the
// oracle: the same tables must pass. See withoutCloseNotify.
func forEachProtocol(t *testing.T, f func(t *testing.T, http2 bool)) {
	for _, http2 := range []bool{false, true} {
		for _, hooks := range []bool{false, true} {
			t.Run(fmt.Sprintf("http2=%v/httpsnoop=%v", http2, hooks), func(t *testing.T) {
				f(t, http2)
			})
		}
	}
}

// unwrapOnly is a third-party wrapper that hides every optional interface except Unwrap.
type unwrapOnly struct{ w http.ResponseWriter }

func (u unwrapOnly) Header() http.Header         { return u.w.Header() }
func (u unwrapOnly) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapOnly) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.w }

func unwrapOnlyWriter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(unwrapOnly{w}, r) })
}

// flushOnly is a wrapper that flushes itself and hijacks through its Unwrap.
type flushOnly struct{ unwrapOnly }

func (f flushOnly) Flush() { _ = http.NewResponseController(f.w).Flush() }

func flushOnlyWriter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(flushOnly{unwrapOnly{w}}, r) })
}

// asserting is a wrapper that asserts the interfaces it knows, and has no Unwrap.
type asserting struct{ http.ResponseWriter }

func (a asserting) Flush() { a.ResponseWriter.(http.Flusher).Flush() }
func (a asserting) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.ResponseWriter.(http.Hijacker).Hijack()
}

func assert(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(asserting{w}, r) })
}

// startPaths are the ways in which a response starts.
var startPaths = []struct {
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
	{"WriteHeader twice", false, 202, "", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(202)
		w.WriteHeader(500)
	}},
	{"Write", false, 200, "hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }},
	{"Write of nothing", false, 200, "", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }},
	{"WriteString", false, 200, "hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }},
	{"ReadFrom", false, 200, "hello", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("hello")})
	}},
	{"ReadFrom of much", false, 200, much, func(w http.ResponseWriter, _ *http.Request) {
		n, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(much)})
		must(err)
		if n != int64(len(much)) {
			panic(n)
		}
	}},
	{"ReadFrom of nothing", false, 404, "no", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("")})
		w.WriteHeader(404) // the empty source has not started the response
		_, _ = io.WriteString(w, "no")
	}},
	{"ReadFrom of a broken source", false, 502, "no", func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, struct{ io.Reader }{brokenReader{}})
		if !errors.Is(err, errBroken) {
			panic(err)
		}
		w.WriteHeader(502)
		_, _ = io.WriteString(w, "no")
	}},
	{"Flush", false, 200, "late", func(w http.ResponseWriter, _ *http.Request) {
		must(http.NewResponseController(w).Flush())
		w.WriteHeader(500) // too late: 200 has been sent
		_, _ = io.WriteString(w, "late")
	}},
	{"Flusher", false, 200, "", func(w http.ResponseWriter, _ *http.Request) {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
			return
		}
		must(http.NewResponseController(w).Flush())
	}},
	{"1xx does not start the response", false, 202, "", func(w http.ResponseWriter, _ *http.Request) {
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

var much = strings.Repeat("0123456789abcdef", 1<<12)

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func TestEveryDoor(t *testing.T) {
	type mw = func(http.Handler) http.Handler
	stacks := []struct {
		name            string
		outside, inside []mw
		noHijack        bool
	}{
		{name: "direct"},
		{name: "Unwrap-only inside", inside: []mw{unwrapOnlyWriter}},
		{name: "Unwrap-only outside", outside: []mw{unwrapOnlyWriter}},
		{name: "Unwrap-only thrice", outside: []mw{unwrapOnlyWriter, unwrapOnlyWriter}, inside: []mw{unwrapOnlyWriter}},
		{name: "half an interface outside", outside: []mw{flushOnlyWriter}},
		{name: "half an interface inside", inside: []mw{flushOnlyWriter}},
		{name: "three kinds outside", outside: []mw{assert, unwrapOnlyWriter, flushOnlyWriter}},
		{name: "three kinds inside", inside: []mw{assert, unwrapOnlyWriter, flushOnlyWriter}},
		{name: "three kinds on both sides", outside: []mw{flushOnlyWriter, unwrapOnlyWriter, flushOnlyWriter}, inside: []mw{assert, flushOnlyWriter, unwrapOnlyWriter}},
	}
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		for _, d := range startPaths {
			if http2 && d.http1 {
				continue
			}
			for _, stack := range stacks {
				t.Run(d.name+"/"+stack.name, func(t *testing.T) {
					type end struct {
						status   int
						bytes    int64
						upgraded bool
					}
					ended := make(chan end, 1)
					outer := mark("outer", func(res *pipeline.Response) {
						ended <- end{res.Status(), res.BytesWritten(), res.Upgraded()}
					})
					app := pipeline.New()
					for _, mw := range stack.outside {
						app.Use(mw)
					}
					app.Use(outer)
					for _, mw := range stack.inside {
						app.Use(mw)
					}
					srv := serveTest(t, app.Use(mark("inner", nil)).Run(d.open).MustBuild(), http2)
					res, body := get(t, srv, "/")
					require.Equal(t, d.status, res.StatusCode)
					require.Equal(t, d.body, body)
					// The last registered callback runs first, once, and before the headers
					// are sent.
					require.Equal(t, []string{fmt.Sprintf("inner:%d", d.status), fmt.Sprintf("outer:%d", d.status)}, res.Header["X-Order"])
					require.Equal(t, end{d.status, int64(len(d.body)), d.status == 101}, <-ended)
				})
			}
		}
	})
}

func TestHead(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		srv := serveTest(t, mark("a", nil)(text("hello")), http2)
		res, err := srv.Client().Head(srv.URL)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, "a:200", res.Header.Get("X-Order"))
		require.EqualValues(t, 5, res.ContentLength)
	})
}

// Panics without a recovering component: before the start nothing is sent and no OnStarting
// callback runs; after it the client reads a broken response. OnCompleted runs in both
// cases.
func TestPanicsOverTheWire(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		for name, begin := range map[string]bool{"before the start": false, "after the start": true} {
			t.Run(name, func(t *testing.T) {
				started, completed := make(chan bool, 1), make(chan bool, 1)
				h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
					must(res.OnStarting(func(http.Header, int) { started <- true }))
					must(res.OnCompleted(func() { completed <- res.Started() }))
					next.ServeHTTP(w, r)
				})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if begin {
						_, _ = io.WriteString(w, "half of it")
						must(http.NewResponseController(w).Flush())
					}
					panic(http.ErrAbortHandler)
				}))
				srv := serveTest(t, h, http2)
				res, err := srv.Client().Get(srv.URL)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					_ = res.Body.Close()
				}
				require.Error(t, err)
				require.Equal(t, begin, <-completed)
				require.Equal(t, begin, len(started) == 1)
			})
		}
	})
}

// A goroutine that outlives its handler can't write any more, so it can't reach a buffer
// that net/http has given to another request.
func TestWritingAfterTheReturn(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		returned := make(chan struct{})
		late := make(chan []error, 1)
		h := mark("a", nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.Path)
			if r.URL.Path != "/first" {
				return
			}
			go func() {
				<-returned
				w.Header().Set("X-Late", "yes")
				w.WriteHeader(500)
				_, write := w.Write([]byte("late"))
				_, writeString := io.WriteString(w, "late")
				_, copied := io.Copy(w, struct{ io.Reader }{strings.NewReader("late")})
				flush := http.NewResponseController(w).Flush()
				_, _, hijack := http.NewResponseController(w).Hijack()
				late <- []error{write, writeString, copied, flush, hijack}
			}()
		}))
		over := make(chan struct{}, 2)
		srv := serveTest(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			over <- struct{}{}
		}), http2)
		_, body := get(t, srv, "/first")
		require.Equal(t, "/first", body)
		<-over
		close(returned)
		for i, err := range <-late {
			if http2 && i == 4 {
				require.ErrorIs(t, err, http.ErrNotSupported)
				continue
			}
			require.ErrorIs(t, err, pipeline.ErrResponseCompleted, i)
		}
		res, body := get(t, srv, "/second")
		require.Equal(t, "/second", body)
		require.Empty(t, res.Header.Get("X-Late"))
	})
}

// A handler that panics after it has hijacked the connection does not leave the client
// waiting.
func TestPanicAfterHijackEndsTheConnection(t *testing.T) {
	for _, hooks := range []bool{false, true} {
		t.Run(fmt.Sprintf("httpsnoop=%v", hooks), func(t *testing.T) {
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
		})
	}
}

// A handler with another writer still finds the outer response, also from another
// goroutine.
func TestTimeoutHandlerInBetween(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		inner := mark("inner", nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			res, ok := pipeline.ResponseFrom(r.Context())
			if !ok || res.Started() {
				panic("no response, or started")
			}
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
				return
			}
			_, _ = io.WriteString(w, "quick")
		}))
		mux := http.NewServeMux()
		mux.Handle("/", mark("outer", nil)(http.TimeoutHandler(inner, time.Hour, "too slow")))
		mux.Handle("/slow", mark("outer", nil)(http.TimeoutHandler(inner, 50*time.Millisecond, "too slow")))
		srv := serveTest(t, mux, http2)
		res, body := get(t, srv, "/")
		require.Equal(t, "quick", body)
		require.Equal(t, []string{"inner:200", "outer:200"}, res.Header["X-Order"])
		res, body = get(t, srv, "/slow")
		require.Equal(t, "too slow", body)
		require.Equal(t, []string{"inner:503", "outer:503"}, res.Header["X-Order"])
	})
}

// gzipWriter is a typical compressor: it buffers, flushes its buffer, and offers the rest
// through Unwrap.
type gzipWriter struct {
	unwrapOnly
	zip *gzip.Writer
}

func (g gzipWriter) Write(p []byte) (int, error) { return g.zip.Write(p) }
func (g gzipWriter) Flush() {
	_ = g.zip.Flush()
	_ = http.NewResponseController(g.w).Flush()
}

func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		next.ServeHTTP(gzipWriter{unwrapOnly{w}, zip}, r)
		_ = zip.Close()
	})
}

func TestCompressorInBetween(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		for name, flush := range map[string]bool{"in one": false, "flushed": true} {
			t.Run(name, func(t *testing.T) {
				written := make(chan int64, 1)
				h := mark("outer", func(res *pipeline.Response) { written <- res.BytesWritten() })(
					compress(mark("inner", nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						_, _ = io.WriteString(w, much)
						if flush {
							must(http.NewResponseController(w).Flush())
						}
						_, _ = io.WriteString(w, "end")
					}))))
				res, body := get(t, serveTest(t, h, http2), "/") // the client decompresses
				require.Equal(t, much+"end", body)
				require.Equal(t, []string{"inner:200", "outer:200"}, res.Header["X-Order"])
				require.Less(t, <-written, int64(len(much)), "bytes sent, compressed")
			})
		}
	})
}

// The optional interfaces are exactly those of the writer, and net/http's own writers take
// the fast path. If a Go release gives its writers other methods, this test fails:
// httpsnoop serves them, but response_fast.go should be updated.
func TestInterfacesAreKept(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		type probe struct {
			set  [9]bool
			fast bool
		}
		check := func(w http.ResponseWriter) (p probe) {
			_, p.set[0] = w.(http.Flusher)
			_, p.set[1] = w.(interface{ FlushError() error })
			_, p.set[2] = w.(http.Hijacker)
			_, p.set[3] = w.(io.ReaderFrom)
			_, p.set[4] = w.(io.StringWriter)
			_, p.set[5] = w.(http.Pusher)
			_, p.set[6] = w.(interface{ CloseNotify() <-chan bool })
			_, p.set[7] = w.(interface {
				SetReadDeadline(time.Time) error
				SetWriteDeadline(time.Time) error
			})
			_, p.set[8] = w.(interface{ EnableFullDuplex() error })
			p.fast = pipeline.IsFast(w)
			return p
		}
		probes := make(chan probe, 2)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			probes <- check(w)
			mark("a", nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				probes <- check(w)
				must(http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)))
			})).ServeHTTP(w, r)
		})
		get(t, serveTest(t, h, http2), "/")
		outside, inside := <-probes, <-probes
		require.Equal(t, outside.set, inside.set)
		require.Equal(t, !strings.Contains(t.Name(), "httpsnoop=true"), inside.fast)
	})
}

// A 101 without a Hijack after it is not an upgrade; over HTTP/2 it is only informational.
// An extended CONNECT (RFC 8441) upgrades with a 2xx status.
func TestUpgraded(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		major        int
		protocol     string
		status       int
		want         bool
	}{
		{"101 over HTTP/1.1", http.MethodGet, 1, "", 101, true},
		{"101 over HTTP/2", http.MethodGet, 2, "", 101, false},
		{"extended CONNECT", http.MethodConnect, 2, "websocket", 200, true},
		{"extended CONNECT refused", http.MethodConnect, 2, "websocket", 403, false},
		{"CONNECT", http.MethodConnect, 2, "", 200, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/", nil)
			r.ProtoMajor = tt.major
			if tt.protocol != "" {
				r.Header[":protocol"] = []string{tt.protocol}
			}
			var upgraded bool
			mark("a", func(res *pipeline.Response) { upgraded = res.Upgraded() })(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
			})).ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, tt.want, upgraded)
		})
	}
}

// net/http's server logs misuse; nothing here may cause such a log.
func TestNoNoise(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, http2 bool) {
		var noise strings.Builder
		srv := httptest.NewUnstartedServer(withoutCloseNotify(t, mark("a", nil)(mark("b", nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/empty" {
				return
			}
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "x")
		})))))
		srv.Config.ErrorLog = log.New(&noise, "", 0)
		srv.EnableHTTP2 = http2
		if http2 {
			srv.StartTLS()
		} else {
			srv.Start()
		}
		get(t, srv, "/empty")
		get(t, srv, "/")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		srv.Client().CloseIdleConnections()
		require.NoError(t, srv.Config.Shutdown(ctx))
		srv.Close()
		require.Empty(t, noise.String())
	})
}

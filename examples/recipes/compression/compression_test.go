package compression_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/recipes/compression"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

var long = strings.Repeat("all work and no play ", 500)

// decoded returns the body as a browser shows it.
func decoded(t *testing.T, res rt.Answer) string {
	t.Helper()
	require.NoError(t, res.Err)
	body := strings.NewReader(res.Text)
	switch coding := res.Header.Get("Content-Encoding"); coding {
	case "":
		return res.Text
	case "gzip":
		zr, err := gzip.NewReader(body)
		require.NoError(t, err)
		plain, err := io.ReadAll(zr)
		require.NoError(t, err)
		return string(plain)
	case "zstd":
		zr, err := zstd.NewReader(body)
		require.NoError(t, err)
		defer zr.Close()
		plain, err := io.ReadAll(zr)
		require.NoError(t, err)
		return string(plain)
	default:
		t.Fatalf("unknown Content-Encoding %q", coding)
		return ""
	}
}

// flush is a handler's Flush with http.ResponseController.
func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(err)
	}
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, long)
}

// handlers by path. The table below has their answers.
var handlers = map[string]http.HandlerFunc{
	"/long":  page,
	"/short": rt.Text("short"),
	"/created": func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		page(w, r)
	},
	"/error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, long, http.StatusBadGateway) },
	"/empty": func(http.ResponseWriter, *http.Request) {},
	"/204":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	"/copied": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.Copy(w, strings.NewReader(long))
	},
	"/flushed": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "x")
		flush(w)
		_, _ = io.WriteString(w, long)
	},
	"/flushed-first": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		flush(w)
		_, _ = io.WriteString(w, "short")
	},
	"/content": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), strings.NewReader(long))
	},
	"/encoded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		_, _ = io.WriteString(zw, long)
		_ = zw.Close()
	},
	"/secret": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(gzhttp.HeaderNoCompression, "1")
		page(w, r)
	},
	"/image": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = io.WriteString(w, long)
	},
}

func endpoints() http.Handler {
	mux := http.NewServeMux()
	for path, h := range handlers {
		mux.Handle(path, h)
	}
	return mux
}

// The observer outside, inside, and one on each side.
var arrangements = []struct {
	name string
	make func(chan<- rt.Seen) http.Handler
	wire bool // BytesWritten counts the bytes on the wire
	both bool
}{
	{"observed outside", func(c chan<- rt.Seen) http.Handler {
		return pipeline.New().Use(rt.Watch(c), compress).Run(endpoints()).MustBuild()
	}, true, false},
	{"observed inside", func(c chan<- rt.Seen) http.Handler {
		// With gzhttp alone: Compress has an observer of its own.
		bare, err := gzhttp.NewWrapper()
		if err != nil {
			panic(err)
		}
		return bare(rt.Watch(c)(endpoints()))
	}, false, false},
	{"observed on both sides", func(c chan<- rt.Seen) http.Handler {
		return pipeline.New().Use(rt.Watch(c), compress, rt.Watch(c)).Run(endpoints()).MustBuild()
	}, true, true},
}

var compress = compression.Compress(compression.Options{})

// observedTest is a request and the expected answer.
type observedTest struct {
	name, method, target string
	header               []string
	status               int
	coding, body         string
}

func TestObserved(t *testing.T) {
	const all = "zstd, gzip"
	tests := []observedTest{
		{"zstd", "GET", "/long", []string{"Accept-Encoding", all}, 200, "zstd", long},
		{"gzip", "GET", "/long", []string{"Accept-Encoding", "gzip"}, 200, "gzip", long},
		{"not accepted", "GET", "/long", []string{"Accept-Encoding", "br"}, 200, "", long},
		{"refused", "GET", "/long", []string{"Accept-Encoding", "gzip;q=0, zstd;q=0"}, 200, "", long},
		{"not asked for", "GET", "/long", nil, 200, "", long},
		{"too short", "GET", "/short", []string{"Accept-Encoding", all}, 200, "", "short"},
		{"another status", "GET", "/created", []string{"Accept-Encoding", all}, 201, "zstd", long},
		{"an error", "GET", "/error", []string{"Accept-Encoding", all}, 502, "zstd", long + "\n"},
		{"nothing", "GET", "/empty", []string{"Accept-Encoding", all}, 200, "", ""},
		{"no content", "GET", "/204", []string{"Accept-Encoding", all}, 204, "", ""},
		{"ReadFrom", "GET", "/copied", []string{"Accept-Encoding", all}, 200, "zstd", long},
		{"a stream", "GET", "/flushed", []string{"Accept-Encoding", "gzip"}, 200, "gzip", "x" + long},
		{"flushed before a byte", "GET", "/flushed-first", []string{"Accept-Encoding", all}, 202, "", "short"},
		{"HEAD", "HEAD", "/long", []string{"Accept-Encoding", all}, 200, "", ""},
		{"HEAD of a file", "HEAD", "/content", []string{"Accept-Encoding", all}, 200, "", ""},
		{"a file", "GET", "/content", []string{"Accept-Encoding", all}, 200, "zstd", long},
		{"a range", "GET", "/content", []string{"Accept-Encoding", all, "Range", "bytes=0-1999"}, 206, "", long[:2000]},
		{"not modified", "GET", "/content", []string{"Accept-Encoding", all, "If-None-Match", `W/"v1"`}, 304, "", ""},
		{"encoded already", "GET", "/encoded", []string{"Accept-Encoding", all}, 200, "gzip", long},
		{"switched off", "GET", "/secret", []string{"Accept-Encoding", all}, 200, "", long},
		{"an image", "GET", "/image", []string{"Accept-Encoding", all}, 200, "", long},
		{"missing", "GET", "/nowhere", []string{"Accept-Encoding", all}, 404, "", "404 page not found\n"},
	}
	for _, a := range arrangements {
		t.Run(a.name, func(t *testing.T) {
			seen := make(chan rt.Seen, 100)
			rt.Both(t, func() http.Handler { return a.make(seen) }, func(t *testing.T, srv *httptest.Server) {
				for _, tt := range tests {
					t.Run(tt.name, func(t *testing.T) { tt.check(t, srv, seen, a.wire, a.both) })
				}
			})
		})
	}
}

// check sends the request and compares the answer, and the results of its observers.
func (tt observedTest) check(t *testing.T, srv *httptest.Server, seen <-chan rt.Seen, wire, both bool) {
	for len(seen) > 0 { // of a test that failed
		<-seen
	}
	res := rt.Do(t, srv, tt.method, tt.target, tt.header...)
	require.Equal(t, tt.status, res.StatusCode)
	require.Equal(t, tt.coding, res.Header.Get("Content-Encoding"))
	require.Equal(t, "Accept-Encoding", res.Header.Get("Vary"))
	require.Empty(t, res.Header.Get(gzhttp.HeaderNoCompression), "it is for gzhttp only")
	if tt.method != http.MethodHead {
		require.Equal(t, tt.body, decoded(t, res))
	}
	observers := 1
	if both {
		observers = 2
	}
	require.Len(t, res.Header.Values("X-Watch"), observers)
	for range observers {
		got := rt.Receive(t, seen)
		require.Equal(t, []int{tt.status}, got.Starts, "once, with the right status")
		require.Equal(t, tt.status, got.Status)
		require.False(t, got.Upgraded)
		if tt.method != http.MethodHead { // its handler writes a body that the client does not get
			require.EqualValues(t, observedBytes(wire || tt.target == "/encoded", res, tt.body), got.Bytes)
		}
	}
}

// observedBytes returns the length of the body on the wire, or as the handler wrote it.
func observedBytes(onWire bool, res rt.Answer, body string) int {
	if onWire {
		return len(res.Text)
	}
	return len(body)
}

// The ETag of a compressed answer is weak: it still saves the body, and never joins ranges
// of different bytes.
func TestETags(t *testing.T) {
	rt.Both(t, func() http.Handler { return pipeline.New().Use(compress).Run(endpoints()).MustBuild() }, func(t *testing.T, srv *httptest.Server) {
		plain := rt.Do(t, srv, "GET", "/content")
		require.Equal(t, `"v1"`, plain.Header.Get("ETag"))
		compressed := rt.Do(t, srv, "GET", "/content", "Accept-Encoding", "gzip")
		require.Equal(t, `W/"v1"`, compressed.Header.Get("ETag"))
		require.Empty(t, compressed.Header.Get("Accept-Ranges"))
		require.Equal(t, fmt.Sprint(len(compressed.Text)), compressed.Header.Get("Content-Length"), "not that of the plain body")

		for _, etag := range []string{`"v1"`, `W/"v1"`} {
			require.Equal(t, 304, rt.Do(t, srv, "GET", "/content", "Accept-Encoding", "gzip", "If-None-Match", etag).StatusCode)
		}
		whole := rt.Do(t, srv, "GET", "/content", "Range", "bytes=100-", "If-Range", `W/"v1"`)
		require.Equal(t, 200, whole.StatusCode, "the client holds bytes of the compressed one")
		rest := rt.Do(t, srv, "GET", "/content", "Range", "bytes=100-", "If-Range", `"v1"`)
		require.Equal(t, 206, rest.StatusCode)
	})
}

// Server-sent events are compressed one by one, and arrive one by one.
func TestStreaming(t *testing.T) {
	const events = 3
	for _, inside := range []bool{false, true} {
		next := make(chan struct{})
		stream := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range events {
				select {
				case <-next:
				case <-r.Context().Done():
					return
				}
				_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
				flush(w)
			}
		}
		service := func() http.Handler {
			app := pipeline.New()
			if inside {
				return app.Use(compress, middleware.ResponseTime).RunFunc(stream).MustBuild()
			}
			return app.Use(middleware.ResponseTime, compress).RunFunc(stream).MustBuild()
		}
		rt.Both(t, service, func(t *testing.T, srv *httptest.Server) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
			require.NoError(t, err)
			req.Header.Set("Accept-Encoding", "gzip")
			go func() { next <- struct{}{} }() // the headers come with the first event
			res, err := srv.Client().Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
			require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"))
			zr, err := gzip.NewReader(res.Body)
			require.NoError(t, err)
			for i := range events {
				if i > 0 {
					next <- struct{}{} // the handler waits: nothing later has been written
				}
				want := fmt.Sprintf("data: %d\n\n", i)
				got := make([]byte, len(want))
				_, err := io.ReadFull(zr, got)
				require.NoError(t, err)
				require.Equal(t, want, string(got))
			}
			_, err = io.ReadAll(zr)
			require.NoError(t, err, "the stream ends gracefully")
		})
	}
}

// A panic never ends in a well-formed half answer, whatever the position of Recover.
func TestRecover(t *testing.T) {
	recoverer := middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()})
	write := func(s string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, s)
		}
	}
	before := []struct {
		name   string
		do     func(http.ResponseWriter)
		answer bool // a 500 can still be sent
	}{
		{"nothing", func(http.ResponseWriter) {}, true},
		{"headers", func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "gzip"); w.Header().Set("ETag", `"x"`) }, true},
		{"a status", func(w http.ResponseWriter) { w.WriteHeader(200) }, false},
		{"less than gzhttp holds back", write("half"), false},
		{"half of a compressed body", write(long), false},
		{"a flushed half", func(w http.ResponseWriter) { write(long)(w); flush(w) }, false},
		{"a flushed short half", func(w http.ResponseWriter) { write("half")(w); flush(w) }, false},
	}
	for _, order := range []struct {
		name string
		use  []pipeline.Middleware
	}{
		{"Recover outside", []pipeline.Middleware{recoverer, compress}},
		{"Recover inside", []pipeline.Middleware{compress, recoverer}},
		{"Recover inside, observed outside", []pipeline.Middleware{middleware.ResponseTime, compress, recoverer}},
		{"Recover on both sides", []pipeline.Middleware{recoverer, compress, recoverer}},
	} {
		t.Run(order.name, func(t *testing.T) {
			for _, tt := range before {
				t.Run(tt.name, func(t *testing.T) {
					h := func() http.Handler {
						return pipeline.New().Use(order.use...).RunFunc(func(w http.ResponseWriter, _ *http.Request) {
							tt.do(w)
							panic("oops")
						}).MustBuild()
					}
					rt.Both(t, h, func(t *testing.T, srv *httptest.Server) {
						res, err := rt.Send(t, srv, "GET", "/", "Accept-Encoding", "gzip", "Accept", "text/plain")
						if !tt.answer {
							require.True(t, err != nil || res.Err != nil, "got a well-formed %d", statusOf(res))
							return
						}
						require.NoError(t, err)
						require.Equal(t, 500, res.StatusCode)
						require.Empty(t, res.Header.Get("ETag"))
						require.Equal(t, "500 Internal Server Error\n", decoded(t, res))
					})
				})
			}
		})
	}
	t.Run("a long error page is compressed by the outer component", func(t *testing.T) {
		long := middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet(), Handler: func(w http.ResponseWriter, _ *http.Request, p *middleware.Problem, _ error) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(p.Status)
			_, _ = io.WriteString(w, long)
		}})
		srv := rt.Serve(t, pipeline.New().Use(compress, long).RunFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }).MustBuild(), false)
		res := rt.Do(t, srv, "GET", "/", "Accept-Encoding", "gzip")
		require.Equal(t, 500, res.StatusCode)
		require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
		require.NotEmpty(t, decoded(t, res))
	})
}

func statusOf(res rt.Answer) int {
	if res.Response == nil {
		return 0
	}
	return res.StatusCode
}

// A handshake passes, with the headers that the components above have set.
func TestWebSockets(t *testing.T) {
	seen := make(chan rt.Seen, 2)
	for _, use := range [][]pipeline.Middleware{
		{rt.Watch(seen), compress, middleware.RequestID(middleware.RequestIDOptions{})},
		{compress, middleware.RequestID(middleware.RequestIDOptions{}), rt.Watch(seen)},
	} {
		srv := rt.Serve(t, pipeline.New().Use(use...).Mount("/ws", rt.Echo(t, nil, wsmanager.Options{})).MustBuild(), false)
		c := wstest.Dial(t, srv.URL+"/ws", http.Header{"Accept-Encoding": {"gzip, zstd"}})
		require.Equal(t, "101", c.Response.Header.Get("X-Watch"))
		require.NotEmpty(t, c.Response.Header.Get("X-Request-Id"))
		require.Empty(t, c.Response.Header.Get("Content-Encoding"))
		require.Equal(t, rt.Seen{Starts: []int{101}, Status: 101, Upgraded: true}, rt.Receive(t, seen))
		rt.ExpectEcho(c)
	}
}

// An early hint does not start the response, and is not lost.
func TestEarlyHints(t *testing.T) {
	seen := make(chan rt.Seen, 1)
	h := pipeline.New().Use(rt.Watch(seen), compress).RunFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		page(w, r)
	}).MustBuild()
	rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
		res := rt.Do(t, srv, "GET", "/", "Accept-Encoding", "gzip")
		require.Equal(t, 201, res.StatusCode)
		require.Equal(t, long, decoded(t, res))
		require.Equal(t, []int{201}, rt.Receive(t, seen).Starts)
	})
}

func TestOptions(t *testing.T) {
	srv := rt.Serve(t, pipeline.New().Use(compression.Compress(compression.Options{MinSize: 5, Jitter: 64})).Run(endpoints()).MustBuild(), false)
	res := rt.Do(t, srv, "GET", "/short", "Accept-Encoding", "gzip")
	require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
	require.Equal(t, "short", decoded(t, res))
	plain := rt.Serve(t, pipeline.New().Use(compress).Run(endpoints()).MustBuild(), false)
	for _, coding := range []string{"gzip", "zstd"} {
		padded := rt.Do(t, srv, "GET", "/long", "Accept-Encoding", coding)
		require.Equal(t, long, decoded(t, padded))
		more := len(padded.Text) - len(rt.Do(t, plain, "GET", "/long", "Accept-Encoding", coding).Text)
		require.Positive(t, more, coding)
		require.LessOrEqual(t, more, 64+8, "8 for the frame that zstd puts around it")
	}

	_, err := pipeline.New().Use(compression.Compress(compression.Options{MinSize: -1})).Use(compression.Compress(compression.Options{Jitter: -1})).Build()
	require.ErrorContains(t, err, "compression.Compress: minimum size")
	require.ErrorContains(t, err, "compression.Compress: Jitter is negative")
}

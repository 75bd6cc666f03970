package withchi_test

import (
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/klauspost/compress/gzhttp"
	"github.com/stretchr/testify/require"

	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// chiMiddlewares are chi's middlewares, in the order that chi recommends. Its logger writes to out.
func chiMiddlewares(out io.Writer) []pipeline.Middleware {
	logger := chimiddleware.RequestLogger(&chimiddleware.DefaultLogFormatter{Logger: log.New(out, "", 0), NoColor: true})
	return []pipeline.Middleware{
		chimiddleware.RequestID, logger, chimiddleware.Recoverer, chimiddleware.Timeout(time.Minute), chimiddleware.Compress(5),
		// Writer wrappers of its other middlewares, and of many other libraries.
		func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(chimiddleware.NewWrapResponseWriter(w, r.ProtoMajor), r)
			})
		},
	}
}

// bothSides puts chi's middlewares inside of an observer, outside, and around it.
func bothSides(t *testing.T, f func(t *testing.T, observer pipeline.Middleware, seen <-chan rt.Seen, use []pipeline.Middleware, out *rt.Logs)) {
	for _, at := range []struct {
		name  string
		index int
	}{{"inside", 0}, {"outside", 6}, {"around", 3}} {
		t.Run(at.name, func(t *testing.T) {
			seen := make(chan rt.Seen, 100)
			out := &rt.Logs{}
			watch := rt.Watch(seen)
			all := chiMiddlewares(out)
			use := append(append(append([]pipeline.Middleware{}, all[:at.index]...), watch), all[at.index:]...)
			f(t, watch, seen, use, out)
		})
	}
}

func TestTheirMiddlewares(t *testing.T) {
	long := strings.Repeat("all work and no play ", 500)
	handlers := map[string]http.HandlerFunc{
		"/text":    rt.Text("short"),
		"/created": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) },
		"/empty":   func(http.ResponseWriter, *http.Request) {},
		"/204":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"/long": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, long)
		},
		"/copied": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.Copy(w, strings.NewReader(long))
		},
		"/panic": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	mux := http.NewServeMux()
	for path, h := range handlers {
		mux.Handle(path, h)
	}
	bothSides(t, func(t *testing.T, _ pipeline.Middleware, seen <-chan rt.Seen, use []pipeline.Middleware, out *rt.Logs) {
		rt.Both(t, func() http.Handler { return pipeline.New().Use(use...).Run(mux).MustBuild() }, func(t *testing.T, srv *httptest.Server) {
			for target, want := range map[string]struct {
				status int
				body   string
				gzip   bool
			}{
				"/text":    {200, "short", false},
				"/created": {201, "", false},
				"/empty":   {200, "", false},
				"/204":     {204, "", false},
				"/long":    {200, long, true},
				"/copied":  {200, long, true},
				"/missing": {404, "404 page not found\n", true},
			} {
				res := rt.Do(t, srv, "GET", target, "Accept-Encoding", "gzip")
				require.NoError(t, res.Err, target)
				require.Equal(t, want.status, res.StatusCode, target)
				body := res.Text
				if want.gzip && res.Header.Get("Content-Encoding") != "" {
					zr, err := gzip.NewReader(strings.NewReader(body))
					require.NoError(t, err)
					plain, err := io.ReadAll(zr)
					require.NoError(t, err, target)
					body = string(plain)
				}
				require.Equal(t, want.body, body, target)
				if want.gzip && target != "/missing" {
					require.Equal(t, "gzip", res.Header.Get("Content-Encoding"), target)
				}
				require.Len(t, res.Header.Values("X-Watch"), 1, target)
				got := rt.Receive(t, seen)
				require.Equal(t, []int{want.status}, got.Starts, target)
				require.Equal(t, want.status, got.Status, target)
			}
			srv.Client().CloseIdleConnections() // on a fresh connection http.Client does not retry
			_, err := rt.Send(t, srv, "GET", "/panic")
			require.Error(t, err, "an abort passes")
			require.Empty(t, rt.Receive(t, seen).Starts)
		})
		require.Contains(t, out.String(), " - 204 ")
	})
}

// A handshake passes all of them, on both sides, and their log has the 101.
func TestWebSocketsUnderTheirMiddlewares(t *testing.T) {
	bothSides(t, func(t *testing.T, _ pipeline.Middleware, seen <-chan rt.Seen, use []pipeline.Middleware, out *rt.Logs) {
		logs := &rt.Logs{}
		srv := rt.Serve(t, pipeline.New().
			Use(use...).
			Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logs.Logger()}), middleware.ResponseTime).
			Mount("/ws", rt.Echo(t, nil, wsmanager.Options{})).MustBuild(), false)
		c := wstest.Dial(t, srv.URL+"/ws", http.Header{"Accept-Encoding": {"gzip"}})
		require.Equal(t, "101", c.Response.Header.Get("X-Watch"))
		require.Regexp(t, `^\d+ms$`, c.Response.Header.Get("X-Response-Time"))
		require.Equal(t, rt.Seen{Starts: []int{101}, Status: 101, Upgraded: true}, rt.Receive(t, seen))
		response := logs.Wait(t, 1)[0]["response"].(map[string]any)
		require.EqualValues(t, 101, response["status"])
		require.Equal(t, true, response["upgraded"])
		require.Eventually(t, func() bool { return strings.Contains(out.String(), " - 101 ") }, wstest.Patience, time.Millisecond)
		rt.ExpectEcho(c)
	})
}

// chi's Timeout answers when the handler returns and has written nothing. For observers
// inside of it the response has ended by then.
func TestTimeout(t *testing.T) {
	seen := make(chan rt.Seen, 1)
	late := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	timeout, watch := chimiddleware.Timeout(time.Millisecond), rt.Watch(seen)
	recoverer := middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()})
	for _, tt := range []struct {
		name          string
		use           []pipeline.Middleware
		sent, watched int
	}{
		{"inside", []pipeline.Middleware{watch, timeout}, 504, 504},
		{"outside", []pipeline.Middleware{timeout, watch}, 504, 200},
		{"outside of Recover, which sends an unsent answer", []pipeline.Middleware{timeout, recoverer, watch}, 200, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := pipeline.New().Use(tt.use...).RunFunc(late).MustBuild()
			rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
				require.Equal(t, tt.sent, rt.Do(t, srv, "GET", "/").StatusCode)
				require.Equal(t, []int{tt.watched}, rt.Receive(t, seen).Starts)
			})
		})
	}
}

// silent is a log of chi's that discards everything.
type silent struct{}

func (silent) NewLogEntry(*http.Request) chimiddleware.LogEntry { return silent{} }
func (silent) Write(int, int, http.Header, time.Duration, any)  {}
func (silent) Panic(any, []byte)                                {}

// chi's Recoverer makes a well-formed 200 of half a body; ours aborts it.
func TestRecoverers(t *testing.T) {
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("half of it ", 1000))
		panic("oops")
	}
	compress, err := gzhttp.NewWrapper()
	require.NoError(t, err)
	wrap := func(next http.Handler) http.Handler { return compress(next) }
	quiet := chimiddleware.RequestLogger(silent{}) // its Recoverer prints the stack to it
	ours := middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()})
	for _, tt := range []struct {
		name string
		use  []pipeline.Middleware
		ours bool
	}{
		{"theirs", []pipeline.Middleware{quiet, chimiddleware.Recoverer, wrap}, false},
		{"ours", []pipeline.Middleware{ours, wrap}, true},
		{"ours outside of theirs comes too late", []pipeline.Middleware{ours, quiet, chimiddleware.Recoverer, wrap}, false},
		{"ours inside of theirs", []pipeline.Middleware{quiet, chimiddleware.Recoverer, wrap, ours}, true},
		{"ours inside, and an observer outside of theirs", []pipeline.Middleware{middleware.ResponseTime, quiet, chimiddleware.Recoverer, ours, wrap}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt.Both(t, func() http.Handler { return pipeline.New().Use(tt.use...).RunFunc(half).MustBuild() }, func(t *testing.T, srv *httptest.Server) {
				res, err := rt.Send(t, srv, "GET", "/", "Accept-Encoding", "gzip")
				broken := err != nil || res.Err != nil
				require.Equal(t, tt.ours, broken)
			})
		})
	}
}

package middleware_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/justinas/alice"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// logs collects JSON records as maps.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// records returns the records, once all requests to counted handlers have ended: a client
// may read its answer before the components above have returned.
func (l *logs) records(t *testing.T) []map[string]any {
	t.Helper()
	require.Eventually(t, func() bool { return serving.Load() == 0 }, 10*time.Second, time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(l.buf.String()) {
		var rec map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &rec))
		out = append(out, rec)
	}
	return out
}

// group returns a group of a record's attributes.
func group(rec map[string]any, name string) map[string]any {
	g, _ := rec[name].(map[string]any)
	return g
}

// overBothProtocols runs f over HTTP/1.1 and HTTP/2.
func overBothProtocols(t *testing.T, h http.Handler, f func(*testing.T, *httptest.Server)) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) {
			srv := httptest.NewUnstartedServer(counted(h))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			if http2 {
				srv.EnableHTTP2 = true
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			f(t, srv)
		})
	}
}

// serving is the number of requests in counted handlers.
var serving atomic.Int32

// counted makes logs.records wait for a server's requests.
func counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Add(-1)
		h.ServeHTTP(w, r)
	})
}

func get(t *testing.T, srv *httptest.Server, target string, header ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+target, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/plain") // unless header has another
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := *srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func TestResponseTime(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(30 * time.Millisecond) // the work to be measured
		_, _ = io.WriteString(w, "x")
	})
	h := pipeline.New().Use(middleware.ResponseTime).
		Map("/slow", func(b *pipeline.Builder) { b.Run(slow) }).
		Map("/empty", func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) {}) }).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for _, target := range []string{"/slow", "/empty", "/missing"} {
			res, _, err := get(t, srv, target)
			require.NoError(t, err)
			require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"), target)
			if target == "/slow" {
				var ms int
				_, err := fmt.Sscanf(res.Header.Get("X-Response-Time"), "%dms", &ms)
				require.NoError(t, err)
				require.GreaterOrEqual(t, ms, 30)
			}
		}
	})
}

// Each component works alone in another chain.
func TestUnderBareAlice(t *testing.T) {
	h := alice.New(middleware.Recover(middleware.RecoverOptions{}), middleware.ResponseTime).Then(text("x"))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Regexp(t, `^\d+ms$`, w.Header().Get("X-Response-Time"))
}

func TestStopwatch(t *testing.T) {
	var took time.Duration
	var path string
	sw := middleware.Stopwatch(func(w http.ResponseWriter, r *http.Request, d time.Duration) {
		took, path = d, r.URL.Path
		_, _ = io.WriteString(w, " and the time")
	})
	h := sw(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("oops")
		}
		time.Sleep(10 * time.Millisecond) // the work to be measured
		_, _ = io.WriteString(w, "body")
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
	require.Equal(t, "body and the time", w.Body.String())
	require.GreaterOrEqual(t, took, 10*time.Millisecond)
	require.Equal(t, "/x", path)

	require.PanicsWithValue(t, "oops", func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/panic", nil)) })
	require.Equal(t, "/panic", path, "a panic is measured as well")
}

func TestBadOptionsAreFoundByBuild(t *testing.T) {
	_, err := pipeline.New().Use(middleware.StaticFiles(middleware.StaticFilesOptions{}), middleware.Stopwatch(nil)).Build()
	require.ErrorContains(t, err, "middleware.StaticFiles: FS is nil")
	require.ErrorContains(t, err, "middleware.Stopwatch: the report function is nil")
	require.ErrorContains(t, err, "middleware_test.go:")
}

func TestRecover(t *testing.T) {
	l := &logs{}
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: l.logger()})).
		UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("X-Kept", "yes")
			w.Header().Set("Content-Encoding", "x-lost")
			w.Header().Set("Content-Length", "1000")
			next.ServeHTTP(w, r)
		}).
		RunFunc(func(http.ResponseWriter, *http.Request) { panic(errors.New("the password is hunter2")) }).MustBuild()
	for _, tt := range []struct{ name, accept, contentType, body string }{
		{"nothing said", "", "application/problem+json", `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
		{"anything", "*/*", "application/problem+json", `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>Internal Server Error</title>\n<h1>500 Internal Server Error</h1>\n"},
		{"an API client", "application/json", "application/problem+json", `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
		{"by quality", "text/html;q=0.2, application/problem+json;q=0.7, text/plain;q=0.5", "application/problem+json", `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
		{"not that", "text/html;q=0, text/plain", "text/plain; charset=utf-8", "500 Internal Server Error\n"},
		{"a bad quality", "text/html;q=high, application/json;q=0.1", "application/problem+json", `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
		{"an image", "image/png", "application/problem+json", `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/secret?q=1", "Accept", tt.accept)
				require.NoError(t, err)
				require.Equal(t, 500, res.StatusCode)
				require.Equal(t, tt.contentType, res.Header.Get("Content-Type"))
				require.Equal(t, tt.body, body)
				require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
				require.Equal(t, "yes", res.Header.Get("X-Kept"))
				require.Empty(t, res.Header.Get("Content-Encoding"))
			})
		})
	}
	records := l.records(t)
	require.Len(t, records, 16, "one for each panic")
	require.Equal(t, "ERROR", records[0]["level"])
	require.Equal(t, "the password is hunter2", records[0]["panic"], "the log has the text that the client must not get")
	require.Equal(t, "/secret", group(records[0], "request")["path"])
	require.Contains(t, records[0]["stack"], "TestRecover")
	require.Equal(t, false, group(records[0], "response")["started"])
}

func TestRecoverKeepsTheServerUp(t *testing.T) {
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})).
		RunFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("panic") {
				panic("oops")
			}
			_, _ = io.WriteString(w, "fine")
		}).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for range 3 {
			res, _, err := get(t, srv, "/?panic")
			require.NoError(t, err)
			require.Equal(t, 500, res.StatusCode)
			_, body, err := get(t, srv, "/")
			require.NoError(t, err)
			require.Equal(t, "fine", body)
		}
	})
}

func TestRecoverAfterTheStartAbortsTheConnection(t *testing.T) {
	l := &logs{}
	h := middleware.Recover(middleware.RecoverOptions{Logger: l.logger()})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half of it")
		_ = http.NewResponseController(w).Flush()
		panic("oops")
	}))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, _, err := get(t, srv, "/")
		require.Error(t, err, "a broken response, not a short one")
		if res != nil {
			require.Equal(t, 200, res.StatusCode)
		}
	})
	require.Equal(t, true, group(l.records(t)[0], "response")["started"])
}

func TestRecoverLetsAbortHandlerPass(t *testing.T) {
	l := &logs{}
	h := middleware.Recover(middleware.RecoverOptions{Logger: l.logger()})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		_, _, err := get(t, srv, "/")
		require.Error(t, err)
	})
	require.Empty(t, l.records(t))
}

func TestRecoverHandler(t *testing.T) {
	custom := func(write bool) http.Handler {
		return middleware.Recover(middleware.RecoverOptions{
			Logger: slog.New(slog.DiscardHandler),
			Handler: func(w http.ResponseWriter, _ *http.Request, _ *middleware.Problem, err error) {
				if write {
					http.Error(w, fmt.Sprint("sorry about a ", err), http.StatusTeapot)
				}
			},
		})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("that") }))
	}
	overBothProtocols(t, custom(true), func(t *testing.T, srv *httptest.Server) {
		res, body, err := get(t, srv, "/")
		require.NoError(t, err)
		require.Equal(t, http.StatusTeapot, res.StatusCode)
		require.Equal(t, "sorry about a panic: that\n", body)
	})
	overBothProtocols(t, custom(false), func(t *testing.T, srv *httptest.Server) {
		res, body, err := get(t, srv, "/")
		require.NoError(t, err)
		require.Equal(t, 500, res.StatusCode)
		require.Empty(t, body)
	})
}

// A callback that panics just before the headers are sent is handled like any panic, also
// if the handlers wrote nothing.
func TestRecoverFromOnStarting(t *testing.T) {
	bad := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		if err := res.OnStarting(func(http.Header, int) { panic("in a callback") }); err != nil {
			panic(err)
		}
		next.ServeHTTP(w, r)
	})
	for name, end := range map[string]http.Handler{"body": text("x"), "empty": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})} {
		t.Run(name, func(t *testing.T) {
			h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), bad).Run(end).MustBuild()
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/")
				require.NoError(t, err)
				require.Equal(t, 500, res.StatusCode)
				require.Equal(t, "500 Internal Server Error\n", body)
			})
		})
	}
}

func TestStaticFiles(t *testing.T) {
	files := fstest.MapFS{
		"index.html":      {Data: []byte("<p>home")},
		"app.js":          {Data: []byte("go()"), ModTime: time.Unix(1e9, 0)},
		"docs/index.html": {Data: []byte("<p>docs")},
		"img/a.png":       {Data: []byte("png")},
		".env":            {Data: []byte("secret")},
		".git/config":     {Data: []byte("secret")},
		"a b.txt":         {Data: []byte("space")},
	}
	app := func(opts middleware.StaticFilesOptions) http.Handler {
		return branch.Map("/files", middleware.StaticFiles(opts)(text("next")))(middleware.StaticFiles(opts)(text("next")))
	}
	h := app(middleware.StaticFilesOptions{FS: files})
	for _, tt := range []struct {
		name, method, target string
		status               int
		body                 string
		header               [2]string
	}{
		{"index", "GET", "/", 200, "<p>home", [2]string{"Content-Type", "text/html; charset=utf-8"}},
		{"file", "GET", "/app.js", 200, "go()", [2]string{"Content-Type", "text/javascript; charset=utf-8"}},
		{"HEAD", "HEAD", "/app.js", 200, "", [2]string{"Content-Length", "4"}},
		{"escaped name", "GET", "/a%20b.txt", 200, "space", [2]string{}},
		{"folder", "GET", "/docs/", 200, "<p>docs", [2]string{}},
		{"folder without slash", "GET", "/docs?x=1", 307, "", [2]string{"Location", "/docs/?x=1"}},
		{"below a branch, folder without slash", "GET", "/files/docs", 307, "", [2]string{"Location", "/files/docs/"}},
		{"the branch itself without slash", "GET", "/files", 307, "", [2]string{"Location", "/files/"}},
		{"the branch itself", "GET", "/files/", 200, "<p>home", [2]string{}},
		{"folder without index", "GET", "/img/", 200, "next", [2]string{}},
		{"file with slash", "GET", "/app.js/", 200, "next", [2]string{}},
		{"missing", "GET", "/nothing", 200, "next", [2]string{}},
		{"missing below a file", "GET", "/app.js/x", 200, "next", [2]string{}},
		{"another method", "POST", "/app.js", 200, "next", [2]string{}},
		{"dot file", "GET", "/.env", 200, "next", [2]string{}},
		{"in a dot folder", "GET", "/.git/config", 200, "next", [2]string{}},
		{"unclean", "GET", "/x/../app.js", 200, "next", [2]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
			require.Equal(t, tt.status, w.Code)
			if tt.status == 200 {
				require.Equal(t, tt.body, w.Body.String())
			}
			if tt.header[0] != "" {
				require.Equal(t, tt.header[1], w.Header().Get(tt.header[0]))
			}
		})
	}
	t.Run("dot files on demand", func(t *testing.T) {
		w := httptest.NewRecorder()
		app(middleware.StaticFilesOptions{FS: files, DotFiles: true}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.env", nil))
		require.Equal(t, "secret", w.Body.String())
	})
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, body, err := get(t, srv, "/app.js", "Range", "bytes=1-2")
		require.NoError(t, err)
		require.Equal(t, http.StatusPartialContent, res.StatusCode)
		require.Equal(t, "o(", body)
		res, _, err = get(t, srv, "/app.js", "If-Modified-Since", res.Header.Get("Last-Modified"))
		require.NoError(t, err)
		require.Equal(t, http.StatusNotModified, res.StatusCode)
	})
}

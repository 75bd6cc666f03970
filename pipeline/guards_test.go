package pipeline_test

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// guardTargets are spellings of /admin/s and its neighbours that an attacker may try, sent
// unchanged. The statuses are those at the end of the redirects: in a pipeline without and
// with the key, and the same for branch.Map alone. 0: depends on the main line.
var guardTargets = []struct {
	target           string
	without, with    int
	alone, aloneWith int
}{
	{"/admin/s", 401, 200, 401, 200},
	{"/admin", 401, 200, 401, 200},
	{"/admin/", 401, 200, 401, 200},
	{"/admin/s/", 401, 200, 401, 200},
	{"/admin/s?x=/../y", 401, 200, 401, 200},
	{"/admin?/s", 401, 200, 401, 200},
	{"/x/../admin/s", 401, 200, 401, 200},
	{"/../admin/s", 401, 200, 401, 200},
	{"//admin/s", 401, 200, 401, 200},
	{"///admin///s", 401, 200, 401, 200},
	{"/./admin/s", 401, 200, 401, 200},
	{"/.//admin/s", 401, 200, 401, 200},
	{"/admin/./s", 401, 200, 401, 200},
	{"/admin//s", 401, 200, 401, 200},
	{"/admin/x/../s", 401, 200, 401, 200},
	{"/%2e/admin/s", 401, 200, 401, 200},
	{"/%2e%2e/admin/s", 401, 200, 401, 200},
	{"/x/%2E./admin/s", 401, 200, 401, 200},
	{"/admin/%2e%2e/admin/s", 401, 200, 401, 200},
	{"/%61dmin/s", 401, 200, 401, 200},
	{"/%61%64%6d%69%6e/%73", 401, 200, 401, 200},
	{"/ADMIN/s", 401, 200, 401, 200},
	{"/aDmIn/s", 401, 200, 401, 200},
	{"/%41dmin/s", 401, 200, 401, 200},
	{"/admin/S", 401, 404, 401, 404},
	{"/admin/s%00", 400, 400, 401, 404},
	{"http://example.com/admin/s", 401, 200, 401, 200},
	{"http://example.com/x/../admin/s", 401, 200, 401, 200},
	{"http://example.com//admin/s", 401, 200, 401, 200},
	{"http://elsewhere.example/%2e%2e/ADMIN/s", 401, 200, 401, 200},
	{"http:admin/s", 0, 0, 0, 0}, // has no path
	// An escaped slash decides:
	{"/admin%2fs", 400, 400, 400, 400},
	{"/admin%2F", 400, 400, 400, 400},
	{"/%2fadmin/s", 400, 400, 400, 400},
	{"/%2Fadmin%2Fs", 400, 400, 400, 400},
	{"/admin%2f/s", 400, 400, 400, 400},
	{"/x%2f..%2fadmin/s", 400, 400, 400, 400},
	{"/x%2f../admin/s", 400, 400, 400, 400},
	{"/admin/..%2fadmin/s", 400, 400, 400, 400},
	{"/%2e%2e%2fadmin%2fs", 400, 400, 400, 400},
	{`/admin%2Fs|`, 400, 400, 400, 400},
	// It is data below the prefix:
	{"/admin/s%2f", 401, 404, 401, 404}, // http.FileServer redirects to "../s"
	{"/admin/%2fs", 401, 200, 401, 200},
	{"/admin/s%2Ft", 401, 404, 401, 404},
	// Other paths, without a file or handler:
	{"/admin;x/s", 404, 404, 404, 404},
	{"/x/..;/admin/s", 404, 404, 404, 404},
	{`/admin\s`, 404, 404, 404, 404},
	{"/admin%5cs", 404, 404, 404, 404},
	{`/x\..\admin\s`, 404, 404, 404, 404},
	{"/admin%00/s", 400, 400, 404, 404},
	{"/admin#/s", 404, 404, 404, 404},
	{"/admin%3f/s", 404, 404, 404, 404},
	{"/admin./s", 404, 404, 404, 404},
	{"/admin%20/s", 404, 404, 404, 404},
	{"/admin%252fs", 404, 404, 404, 404},
	{"/%252e%252e/admin/s", 404, 404, 404, 404},
	{"/x%252f..%252fadmin/s", 404, 404, 404, 404},
	{"/\uff41dmin/s", 404, 404, 404, 404},
	{"/adm\u0131n/s", 404, 404, 404, 404}, // dotless i
	// Paths that lead out of the branch are public (StaticFiles accepts clean paths only):
	{"/admin/../open", 200, 200, 0, 0},
	{"/ADMIN/x/../../open", 200, 200, 0, 0},
}

const leak = "LEAK: guarded content"

// mainLines serve the guarded content too: only the guard protects it.
func mainLines() map[string]http.Handler {
	files := fstest.MapFS{
		"admin/s": {Data: []byte(leak)}, "admin/index.html": {Data: []byte(leak)}, "open": {Data: []byte("open")},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/admin/s", text(leak))
	mux.HandleFunc("/admin/{file}", text(leak))
	mux.HandleFunc("/admin/", text(leak))
	mux.HandleFunc("/open", text("open"))
	return map[string]http.Handler{
		"StaticFiles":  middleware.StaticFiles(middleware.StaticFilesOptions{FS: files, DotFiles: true})(http.NotFoundHandler()),
		"FileServerFS": http.FileServerFS(files),
		"FoldingFS":    http.FileServerFS(foldingFS{files}),
		"ServeMux":     mux,
	}
}

// foldingFS ignores case, as Windows does.
type foldingFS struct{ fs.FS }

func (f foldingFS) Open(name string) (fs.File, error) { return f.FS.Open(strings.ToLower(name)) }

// requireKey returns the handler that requires the key.
func requireKey() http.Handler {
	files := http.FileServerFS(fstest.MapFS{"s": {Data: []byte("guarded")}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "sesame" {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	})
}

// inPipeline, alone and behindCleanPaths put the guard in front of a main line.
func inPipeline(main http.Handler) http.Handler {
	return pipeline.New().Map("/admin", func(b *pipeline.Builder) { b.Run(requireKey()) }).Run(main).MustBuild()
}

func guardedMain(main http.Handler) http.Handler { return branch.Map("/admin", requireKey())(main) }

func behindCleanPaths(main http.Handler) http.Handler { return branch.CleanPaths(guardedMain(main)) }

// sendRaw sends the request line unchanged, because clients clean paths, and follows
// redirects.
func sendRaw(t *testing.T, addr, target string, key bool) (int, string) {
	t.Helper()
	for range 5 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		header := ""
		if key {
			header = "X-Key: sesame\r\n"
		}
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: example.com\r\n%sConnection: close\r\n\r\n", target, header)
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		to := res.Header.Get("Location")
		if to == "" {
			return res.StatusCode, string(body)
		}
		base, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		u, err := base.Parse(to)
		require.NoError(t, err)
		require.Contains(t, []string{"", "example.com", "elsewhere.example"}, u.Host)
		target = u.RequestURI()
	}
	t.Fatalf("%s: too many redirects", target)
	return 0, ""
}

func TestGuardsHold(t *testing.T) {
	for name, main := range mainLines() {
		for _, tt := range []struct {
			name   string
			h      http.Handler
			inPipe bool
		}{
			{"pipeline", inPipeline(main), true},
			{"behind CleanPaths", behindCleanPaths(main), true},
			{"alone", guardedMain(main), false},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				srv := httptest.NewServer(tt.h)
				defer srv.Close()
				addr := srv.Listener.Addr().String()
				for _, g := range guardTargets {
					without, with := g.without, g.with
					if !tt.inPipe {
						without, with = g.alone, g.aloneWith
					}
					status, body := sendRaw(t, addr, g.target, false)
					require.NotContains(t, body, leak, g.target)
					require.NotContains(t, body, "guarded", g.target)
					if without != 0 {
						require.Equal(t, without, status, g.target)
					}
					status, body = sendRaw(t, addr, g.target, true)
					require.NotContains(t, body, leak, "%s: the branch never falls back", g.target)
					if with != 0 {
						require.Equal(t, with, status, g.target)
					}
				}
				_, body := sendRaw(t, addr, "/admin/s", true)
				require.Equal(t, "guarded", body)
				_, body = sendRaw(t, addr, "/open", false)
				require.Equal(t, "open", body)
			})
		}
	}
}

// For every path of up to five of these pieces: without the key no guarded content is
// served.
func TestGuardsHoldForAllCombinations(t *testing.T) {
	pieces := []string{"/", "%2f", "admin", "ADMIN", "%61dmin", "s", "x", "..", ".", "%2e", "open"}
	var targets []string
	level := []string{"/"}
	for range 5 {
		var next []string
		for _, t := range level {
			for _, p := range pieces {
				next = append(next, t+p)
			}
		}
		targets = append(targets, next...)
		level = next
	}
	lines := mainLines()
	for name, h := range map[string]http.Handler{
		"pipeline, ServeMux":     inPipeline(lines["ServeMux"]),
		"pipeline, FoldingFS":    inPipeline(lines["FoldingFS"]),
		"pipeline, StaticFiles":  inPipeline(lines["StaticFiles"]),
		"alone, FoldingFS":       guardedMain(lines["FoldingFS"]),
		"alone, StaticFiles":     guardedMain(lines["StaticFiles"]),
		"CleanPaths, ServeMux":   behindCleanPaths(lines["ServeMux"]),
		"CleanPaths, FileServer": behindCleanPaths(lines["FileServerFS"]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guardedOnes := 0
			for _, target := range targets {
				u, err := url.ParseRequestURI(target)
				require.NoError(t, err)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: u, Host: "example.com", Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
				if w.Code == http.StatusUnauthorized {
					guardedOnes++
				}
				if strings.Contains(w.Body.String(), leak) {
					t.Fatalf("%s: %d %s", target, w.Code, w.Body)
				}
			}
			require.Greater(t, guardedOnes, 1000, "the test tests something")
		})
	}
}

// The limit documented in package branch: Map alone matches the cleaned, decoded path, and
// a router that matches the escaped path segment by segment interprets some paths
// differently. If this test fails, the documentation promises too little.
func TestGuardAloneAndRouters(t *testing.T) {
	mux := mainLines()["ServeMux"]
	for _, tt := range []struct {
		h       http.Handler
		reached bool
	}{{guardedMain(mux), true}, {behindCleanPaths(mux), false}, {inPipeline(mux), false}} {
		srv := httptest.NewServer(tt.h)
		_, body := sendRaw(t, srv.Listener.Addr().String(), "/admin/%2e%2e/x", false)
		require.Equal(t, tt.reached, strings.Contains(body, leak))
		_, body = sendRaw(t, srv.Listener.Addr().String(), "/admin/s%2f..%2f..%2fx", false)
		require.NotContains(t, body, leak, "an escaped slash decides")
		srv.Close()
	}
}

// The danger documented for MatchCase.
func TestGuardThatMatchesCaseBeforeAMainLineThatDoesNot(t *testing.T) {
	for _, tt := range []struct {
		opts    branch.MapOptions
		reached bool
	}{{branch.MapOptions{}, false}, {branch.MapOptions{MatchCase: true}, true}} {
		h := pipeline.New().MountWith("/admin", tt.opts, requireKey()).Run(mainLines()["FoldingFS"]).MustBuild()
		srv := httptest.NewServer(h)
		_, body := sendRaw(t, srv.Listener.Addr().String(), "/ADMIN/s", false)
		require.Equal(t, tt.reached, body == leak)
		srv.Close()
	}
}

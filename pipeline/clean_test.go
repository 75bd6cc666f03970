package pipeline_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// sendRawLine sends a request line unchanged, because clients clean paths.
func sendRawLine(t *testing.T, srv *httptest.Server, line string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n", line)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body = io.NopCloser(&stringReader{string(body)})
	return res
}

type stringReader struct{ s string }

func (r *stringReader) Read(p []byte) (int, error) {
	if r.s == "" {
		return 0, io.EOF
	}
	n := copy(p, r.s)
	r.s = r.s[n:]
	return n, nil
}

func TestUncleanPathsNeverReachAComponent(t *testing.T) {
	reached := ""
	h := pipeline.New().RunFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.URL.Path }).MustBuild()
	srv := serveTest(t, h, false)
	for _, tt := range []struct {
		name, line string
		status     int
		location   string // of a redirect
		reached    string
	}{
		{"clean", "GET /a/b", 200, "", "/a/b"},
		{"clean, slash at the end", "GET /a/", 200, "", "/a/"},
		{"root", "GET /", 200, "", "/"},
		{"names that begin with dots", "GET /.a/..b/...", 200, "", "/.a/..b/..."},
		{"escaped slash within a clean path", "GET /a%2Fb", 200, "", "/a/b"},
		{"dots escaped twice are not dots", "GET /a/%252e%252e/b", 200, "", "/a/%2e%2e/b"},
		{"dot dot", "GET /x/../admin/s?q=1&r=%2F", 307, "/admin/s?q=1&r=%2F", ""},
		{"dot", "GET /./admin/s", 307, "/admin/s", ""},
		{"dot at the end", "GET /a/.", 307, "/a", ""},
		{"above the root", "GET /../../a", 307, "/a", ""},
		{"double slash", "GET //admin/s", 307, "/admin/s", ""},
		{"double slash at the end", "GET /a//", 307, "/a/", ""},
		{"escaped dots", "GET /%2e/admin/s", 307, "/admin/s", ""},
		{"escaped dots, half", "GET /x/.%2E/admin/s", 307, "/admin/s", ""},
		{"the other escapes stay", "GET //a%20b/%C3%A4%2Fc", 307, "/a%20b/%C3%A4%2Fc", ""},
		{"a POST keeps its method", "POST //a", 307, "/a", ""},
		{"no redirect to another host", `GET //evil.example/..//\\evil.example`, 307, "/%5C%5Cevil.example", ""},
		{"dots between escaped slashes", "GET /x%2f..%2fadmin/s", 400, "", ""},
		{"dots behind an escaped slash", "GET /x%2f../admin/s", 400, "", ""},
		{"dots that would take an escaped slash back", "GET /x%2fy/../admin/s", 400, "", ""},
		{"dots beside an escaped slash, escaped", "GET /x%2F%2e%2E%2Fadmin/s", 400, "", ""},
		{"a dot beside an escaped slash", "GET /a/b%2F.", 400, "", ""},
		{"dots in front of an escaped slash", "GET /..%2Fadmin", 400, "", ""},
		{"dots between backslashes are data", "GET /x%5C..%5Cadmin", 200, "", `/x\..\admin`},
		{"escaped double slash", "GET /%2fadmin/s", 200, "", "//admin/s"},
		{"escaped slash beside a slash", "GET /a%2f/b", 200, "", "/a//b"},
		{"a URL as data", "GET /files/https%3A%2F%2Fexample.com", 200, "", "/files/https://example.com"},
		{"escaped slashes only", "GET /%2F%2F", 200, "", "///"},
		{"empty segments beside data", "GET //a//%2F%2F//b", 307, "/a/%2F%2F/b", ""},
		{"escaped twice", "GET /a%252F..%252Fb", 200, "", "/a%2F..%2Fb"},
		{"absolute target", "GET http://example.com/a%2F%2Fb", 200, "", "/a//b"},
		{"absolute target, unclean", "GET http://example.com/x%2F../a", 400, "", ""},
		{"NUL", "GET /a%00", 400, "", ""},
		{"NUL in an unclean path", "GET //a/%00/../b", 400, "", ""},
		{"CONNECT", "CONNECT /x/../admin/s", 400, "", ""},
		{"CONNECT, clean", "CONNECT /rpc", 400, "", ""},
		{"CONNECT to an authority", "CONNECT example.com:80", 400, "", ""},
		{"OPTIONS *", "OPTIONS *", 200, "", ""},
		{"GET *", "GET *", 405, "", ""},
		{"PUT *", "PUT *", 405, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reached = ""
			res := sendRawLine(t, srv, tt.line)
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, tt.location, res.Header.Get("Location"))
			require.Equal(t, tt.reached, reached)
		})
	}
}

func TestRedirectBelowABranch(t *testing.T) {
	inner := pipeline.New().Run(text("inner")).MustBuild()
	h := branch.Map("/app", inner)(http.NotFoundHandler())
	r := httptest.NewRequest(http.MethodGet, "/app/x", nil)
	r.URL.Path = "/app/a//b"
	w := httptest.NewRecorder()
	branch.UsePathBase("/v")(h).ServeHTTP(w, r)
	require.Equal(t, 200, w.Code, "Map passes the clean path on")
}

func TestGuardHolds(t *testing.T) {
	files := fstest.MapFS{"admin/s": {Data: []byte("secret")}, "admin/index.html": {Data: []byte("secret")}, "open": {Data: []byte("open")}}
	for name, opts := range map[string]pipeline.Options{"default": {}, "unclean allowed": {DangerouslyAllowUncleanPaths: true}} {
		t.Run(name, func(t *testing.T) {
			b := pipeline.NewWith(opts)
			b.Map("/admin", func(b *pipeline.Builder) {
				b.RunFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "unauthorized", http.StatusUnauthorized) })
			})
			b.Run(http.FileServerFS(files))
			srv := serveTest(t, b.MustBuild(), false)
			for _, path := range []string{"/admin/s", "/x/../admin/s", "//admin/s", "/./admin/s", "/%2e/admin/s", "/x%2f..%2fadmin/s", "/ADMIN/s", "/admin%2fs", "/admin", "/admin/", "/%61dmin/s", "/open/../admin/s"} {
				res := sendRawLine(t, srv, "GET "+path)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.NotContains(t, string(body), "secret", path)
			}
			require.Equal(t, 200, sendRawLine(t, srv, "GET /open").StatusCode)
		})
	}
}

package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

// endpointMux answers with the pattern and the path values.
func endpointMux(patterns ...string) *http.ServeMux {
	mux := http.NewServeMux()
	for _, p := range patterns {
		mux.HandleFunc(p, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s id=%s rest=%s", r.Pattern, r.PathValue("id"), r.PathValue("rest"))
		})
	}
	return mux
}

func TestEndpoints(t *testing.T) {
	mux := endpointMux("GET /items/{id}", "POST /items/{id}", "/tree/", "/files/{rest...}", "/exact/{$}", "DELETE /only", "example.com/host", "/a/{id}/", "/space%20dir/")
	// Redirects of the application are sent unchanged.
	mux.Handle("GET /old", http.RedirectHandler("/new", http.StatusMovedPermanently))
	mux.Handle("GET /slashless", http.RedirectHandler("/slashless/", http.StatusTemporaryRedirect))
	mux.Handle("GET /moved/{rest...}", http.RedirectHandler("/elsewhere/", http.StatusTemporaryRedirect))
	mux.Handle("GET /folder/", http.RedirectHandler("/folder/index", http.StatusTemporaryRedirect))
	next := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "next "+r.URL.Path) }
	h := pipeline.NewWith(pipeline.Options{DangerouslyAllowUncleanPaths: true}).
		Map("/api", func(b *pipeline.Builder) { b.Use(middleware.Endpoints(mux)).RunFunc(next) }).
		Use(middleware.Endpoints(mux)).RunFunc(next).MustBuild()

	for _, tt := range []struct {
		name, method, target string
		status               int
		body                 string // or Location, or Allow
	}{
		{"value", "GET", "/items/7", 200, "GET /items/{id} id=7 rest="},
		{"another method", "POST", "/items/7", 200, "POST /items/{id} id=7 rest="},
		{"HEAD by GET", "HEAD", "/items/7", 200, "GET /items/{id} id=7 rest="},
		{"escaped value", "GET", "/items/a%2Fb", 200, "GET /items/{id} id=a/b rest="},
		{"rest", "GET", "/files/x/y", 200, "/files/{rest...} id= rest=x/y"},
		{"subtree", "GET", "/tree/x", 200, "/tree/ id= rest="},
		{"end of path", "GET", "/exact/", 200, "/exact/{$} id= rest="},
		{"host", "GET", "http://example.com/host", 200, "example.com/host id= rest="},
		{"other host", "GET", "http://example.org/host", 200, "next /host"},
		{"host with port", "GET", "http://example.com:8080/host", 200, "example.com/host id= rest="},
		{"missing", "GET", "/nothing", 200, "next /nothing"},
		{"missing, with another method", "POST", "/nothing", 200, "next /nothing"},
		{"behind the end of path", "GET", "/exact/x", 200, "next /exact/x"},
		{"unknown method", "PUT", "/items/7", 405, "GET, HEAD, POST"},
		{"OPTIONS", "OPTIONS", "/only", 405, "DELETE"},
		{"made-up method", "FROB", "/only", 405, "DELETE"},
		{"method on the subtree without slash", "POST", "/folder", 405, "GET, HEAD"},

		{"slash", "GET", "/tree?x=1&y", 307, "/tree/?x=1&y"},
		{"slash, POST", "POST", "/tree", 307, "/tree/"},
		{"slash for a rest", "GET", "/files", 307, "/files/"},
		{"slash for the end of path", "GET", "/exact", 307, "/exact/"},
		{"slash behind a value", "GET", "/a/b", 307, "/a/b/"},
		{"slash behind an escaped value", "GET", "/a/b%2Fc", 307, "/a/b%2Fc/"},
		{"slash behind a space", "GET", "/space%20dir", 307, "/space%20dir/"},
		{"unclean", "GET", "/x/../items/7?q=1", 307, "/items/7?q=1"},
		{"unclean, escaped slash", "GET", "//items/a%2Fb", 307, "/items/a%2Fb"},
		{"unclean and slash", "GET", "//tree", 307, "/tree/"},
		{"unclean and missing", "GET", "//nothing", 200, "next //nothing"},
		{"unclean and another method", "GET", "//only", 307, "/only"},

		{"own redirect", "GET", "/old", 301, "!/new"},
		{"own redirect to the slash", "GET", "/slashless", 307, "!/slashless/"},
		{"own redirect of a subtree", "GET", "/moved/x", 307, "!/elsewhere/"},
		{"the mux's redirect to an own one", "GET", "/moved", 307, "/moved/"},
		{"own redirect of the subtree itself", "GET", "/folder/", 307, "!/folder/index"},
		{"own redirect deep in the subtree", "GET", "/folder/x/y", 307, "!/folder/index"},
		{"the mux's redirect to the folder", "GET", "/folder", 307, "/folder/"},
	} {
		for _, base := range []string{"", "/API"} {
			if base != "" && strings.Contains(tt.name, "unclean") {
				continue // Map cleans the path: Endpoints does not see it
			}
			t.Run(tt.name+base, func(t *testing.T) {
				target := tt.target
				if rest, ok := strings.CutPrefix(target, "http://"); ok {
					host, p, _ := strings.Cut(rest, "/")
					target = "http://" + host + base + "/" + p
				} else {
					target = base + target
				}
				r := httptest.NewRequest(tt.method, "/", nil)
				r.RequestURI = target
				parse := url.ParseRequestURI
				if strings.HasPrefix(target, "http:") {
					parse = url.Parse
				}
				u, err := parse(target)
				require.NoError(t, err)
				r.URL = u
				if u.Host != "" {
					r.Host = u.Host
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Equal(t, tt.status, w.Code)
				switch {
				case w.Code == 405:
					require.Equal(t, tt.body, w.Header().Get("Allow"))
				case w.Code >= 300 && strings.HasPrefix(tt.body, "!"):
					require.Equal(t, tt.body[1:], w.Header().Get("Location"))
				case w.Code >= 300:
					require.Equal(t, base+tt.body, w.Header().Get("Location"))
				case tt.method == http.MethodHead:
				default:
					require.Equal(t, tt.body, w.Body.String())
				}
			})
		}
	}
}

// If PathBase is empty and nothing is escaped, Endpoints and a ServeMux give the same
// answer, except that a miss is passed on.
func FuzzEndpoints(f *testing.F) {
	patterns := []string{"GET /items/{id}", "/tree/", "/files/{rest...}", "/exact/{$}", "DELETE /only", "/a/{id}/", "POST /a/b/c"}
	for _, target := range []string{"/items/7", "/tree", "/tree/", "//tree", "/files", "/files/x/../y", "/exact", "/only", "/a/b", "/a/b/c", "/a/b/c/", "/a/./b", "/..", "/a%2Fb", "/a/%2e%2e", "*", "x"} {
		f.Add("GET", target)
		f.Add("POST", target)
		f.Add("CONNECT", target)
	}
	mux := endpointMux(patterns...)
	mux.Handle("GET /folder/", http.RedirectHandler("/folder/index", http.StatusSeeOther))
	h := middleware.Endpoints(mux)(http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, method, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || u.Opaque != "" || u.RawPath != "" || strings.ContainsAny(target, "%?#") {
			return
		}
		if method == http.MethodConnect && strings.Contains(target, "//") {
			return // net/http's PathValue panics for an empty segment
		}
		request := func() *http.Request {
			copied := *u
			return &http.Request{Method: method, URL: &copied, Host: "localhost", Header: http.Header{}, RequestURI: target}
		}
		if target == "*" {
			return // ServeMux answers 400; Endpoints passes it on
		}
		want, got := httptest.NewRecorder(), httptest.NewRecorder()
		wantReq, gotReq := request(), request()
		mux.ServeHTTP(want, wantReq)
		h.ServeHTTP(got, gotReq)
		if want.Code == http.StatusTemporaryRedirect && wantReq.Pattern == "" && got.Code == http.StatusNotFound {
			return // unclean, and without a pattern
		}
		require.Equal(t, want.Code, got.Code)
		require.Equal(t, want.Header().Get("Allow"), got.Header().Get("Allow"))
		require.Equal(t, wantReq.Pattern, gotReq.Pattern)
		if location := want.Header().Get("Location"); location != "" {
			there, err := url.Parse(location)
			require.NoError(t, err)
			here, err := url.Parse(got.Header().Get("Location"))
			require.NoError(t, err)
			require.Equal(t, path.Clean(there.Path), path.Clean(here.Path), "%s and %s", location, here)
		} else {
			require.Equal(t, want.Body.String(), got.Body.String())
		}
	})
}

// The components around see the route, before and after; below a branch with its path in
// front, whatever the client's spelling.
func TestEndpointsRoute(t *testing.T) {
	for _, tt := range []struct{ target, route, pattern string }{
		{"/items/7", "GET /items/{id}", "GET /items/{id}"},
		{"/api/items/7", "GET /api/items/{id}", "GET /api/items/{id}"},
		{"/API/V1/items/7", "GET /api/v1/items/{id}", "GET /api/v1/items/{id}"},
		{"/api/tree", "/api/tree/", "/api/tree/"},
		{"/api/host", "example.com/api/host", "example.com/api/host"},
		{"/api/v1/", "/api/v1/{$}", "/api/v1/{$}"},
		{"/nothing", "", ""},
		{"/api/only", "/api/only", ""}, // 405
		{"/api/nothing", "/api", ""},
	} {
		t.Run(tt.target, func(t *testing.T) {
			var route, inside string
			mux := endpointMux("GET /items/{id}", "/tree/", "example.com/host", "/{$}", "DELETE /only")
			look := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				next.ServeHTTP(w, r)
				res, ok := pipeline.ResponseFrom(r.Context())
				require.True(t, ok)
				inside = res.Route()
			}
			l := &logs{}
			h := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})).
				Use(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
					next.ServeHTTP(w, r)
					route = res.Route()
				})).
				Map("/api", func(b *pipeline.Builder) {
					b.Map("/v1", func(b *pipeline.Builder) { b.UseFunc(look).Use(middleware.Endpoints(mux)) })
					b.UseFunc(look).Use(middleware.Endpoints(mux))
				}).
				UseFunc(look).Use(middleware.Endpoints(mux)).MustBuild()
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, tt.route, route)
			require.Equal(t, tt.route, inside)
			require.Equal(t, tt.pattern, r.Pattern)
			logged, _ := group(l.records(t)[0], "request")["route"].(string)
			require.Equal(t, tt.route, logged)
		})
	}
}

// A panic of the handler is logged with its route.
func TestEndpointsRouteOfAPanic(t *testing.T) {
	l := &logs{}
	mux := http.NewServeMux()
	mux.HandleFunc("/x/{id}", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})).
		Map("/api", func(b *pipeline.Builder) { b.Use(middleware.Endpoints(mux)) }).MustBuild()
	require.Panics(t, func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/x/1", nil)) })
	require.Equal(t, "/api/x/{id}", group(l.records(t)[0], "request")["route"])
}

// An Endpoints without a match changes nothing, and several can follow each other.
func TestEndpointsInARow(t *testing.T) {
	h := pipeline.New().Use(middleware.Endpoints(endpointMux("/a/{id}")), middleware.Endpoints(endpointMux("/{rest}"))).RunFunc(text("end")).MustBuild()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/b", nil))
	require.Equal(t, "/{rest} id= rest=b", w.Body.String())
}

func TestEndpointsPatternsOfLater(t *testing.T) {
	mux := http.NewServeMux()
	h := pipeline.New().Use(middleware.Endpoints(mux)).MustBuild()
	get := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/later", nil))
		return w.Code
	}
	require.Equal(t, 404, get())
	mux.HandleFunc("/later", text("now"))
	require.Equal(t, 200, get())
}

func TestEndpointsWithoutMux(t *testing.T) {
	_, err := pipeline.New().Use(middleware.Endpoints(nil)).Build()
	var config *pipeline.ConfigError
	require.ErrorAs(t, err, &config)
	require.Equal(t, "middleware.Endpoints", config.Component)
	require.ErrorContains(t, err, "NewServeMux")
}

// OPTIONS * and CONNECT have no ordinary path.
func TestEndpointsOddTargets(t *testing.T) {
	mux := endpointMux("CONNECT /chat", "/tree/", "example.com:443/")
	srv := httptest.NewUnstartedServer(middleware.Endpoints(mux)(text("next")))
	srv.Config.DisableGeneralOptionsHandler = true
	srv.Start()
	defer srv.Close()
	for _, tt := range []struct{ name, line, status, contains string }{
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x", "200", "next"},
		{"authority without a pattern", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443", "200", "next"},
		{"path", "CONNECT /chat HTTP/1.1\r\nHost: x", "200", "CONNECT /chat"},
		{"unclean path, left alone", "CONNECT //chat HTTP/1.1\r\nHost: x", "200", "next"},
		{"slash", "CONNECT /tree HTTP/1.1\r\nHost: x", "307", "Location: /tree/"},
		{"empty path", "GET http://x HTTP/1.1\r\nHost: x", "200", "next"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := sendRawRequest(t, srv, tt.line+"\r\nConnection: close\r\n\r\n")
			require.Equal(t, tt.status, status, answer)
			require.Contains(t, answer, tt.contains)
		})
	}
}

// sendRawRequest sends bytes, and returns the status and the whole answer.
func sendRawRequest(t *testing.T, srv *httptest.Server, request string) (status, answer string) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	all, err := io.ReadAll(bufio.NewReader(conn))
	require.NoError(t, err)
	fields := strings.Fields(string(all))
	require.GreaterOrEqual(t, len(fields), 2, "%q", all)
	return fields[1], string(all)
}

func TestEndpointsOverTheWire(t *testing.T) {
	mux := endpointMux("GET /items/{id}", "/tree/")
	h := pipeline.New().Use(middleware.ResponseTime).Map("/api", func(b *pipeline.Builder) { b.Use(middleware.Endpoints(mux)).RunFunc(text("next")) }).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		_, body, err := get(t, srv, "/api/items/7")
		require.NoError(t, err)
		require.Equal(t, "GET /items/{id} id=7 rest=", body)
		res, _, err := get(t, srv, "/api/tree")
		require.NoError(t, err)
		require.Equal(t, "/api/tree/", res.Header.Get("Location"))
		res, err = srv.Client().Get(srv.URL + "/api/tree") // follows redirects
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 200, res.StatusCode)
		_, body, err = get(t, srv, "/api/x")
		require.NoError(t, err)
		require.Equal(t, "next", body)
		res, err = srv.Client().Post(srv.URL+"/api/items/7", "text/plain", nil)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 405, res.StatusCode)
		require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
		require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"))
	})
}

func BenchmarkEndpoints(b *testing.B) {
	mux := http.NewServeMux()
	for _, p := range []string{"GET /items/{id}", "GET /static", "/tree/"} {
		mux.Handle(p, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	end := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	ends := middleware.Endpoints(mux)(end)
	for _, bb := range []struct {
		name, target string
		h            http.Handler
	}{
		{"ServeMux", "/static", mux},
		{"hit", "/static", ends},
		{"ServeMux-wildcard", "/items/7", mux},
		{"wildcard", "/items/7", ends},
		{"miss", "/nothing", ends},
		{"below-Map", "/api/static", branch.Map("/api", ends)(end)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			w, r := pipelinetest.NewHTTP1(), httptest.NewRequest(http.MethodGet, bb.target, nil)
			b.ReportAllocs()
			for b.Loop() {
				w.Reset()
				bb.h.ServeHTTP(w, r)
			}
		})
	}
}

package branch_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

func TestWhenNeverComesBackAndLeavesThePath(t *testing.T) {
	h := branch.When(branch.Query("b"), http.NotFoundHandler())(show("main"))
	require.Equal(t, "404 page not found\n", getTarget(h, "/x?b"))
	require.Equal(t, `main base="" path="/x" raw="" exact=false`, getTarget(h, "/x"))

	h = branch.When(branch.Path("/a"), show("a"))(show("main"))
	require.Equal(t, `a base="" path="/A/x" raw="" exact=false`, getTarget(h, "/A/x"))
}

func TestUseWhenRejoins(t *testing.T) {
	mark := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("marked "))
			if !branch.Query("stop")(r) {
				next.ServeHTTP(w, r)
			}
		})
	}
	h := branch.UseWhen(branch.Query("b"), mark)(show("main"))
	require.Equal(t, `marked main base="" path="/x" raw="" exact=false`, getTarget(h, "/x?b"))
	require.Equal(t, `main base="" path="/x" raw="" exact=false`, getTarget(h, "/x"))
	require.Equal(t, `marked `, getTarget(h, "/x?b&stop"))
}

func TestPredicates(t *testing.T) {
	request := func(method, target string, change func(*http.Request)) *http.Request {
		r := httptest.NewRequest(method, target, nil)
		if change != nil {
			change(r)
		}
		return r
	}
	get := func(target string) *http.Request { return request(http.MethodGet, target, nil) }
	host := func(h string) *http.Request {
		return request(http.MethodGet, "/", func(r *http.Request) { r.Host = h })
	}
	header := func(name string, values ...string) *http.Request {
		return request(http.MethodGet, "/", func(r *http.Request) { r.Header[name] = values })
	}
	yes := func(*http.Request) bool { return true }
	no := func(*http.Request) bool { return false }
	never := func(*http.Request) bool { t.Error("asked although it was decided"); return true }
	for _, tt := range []struct {
		name string
		p    branch.Predicate
		r    *http.Request
		want bool
	}{
		{"method", branch.Method("GET", "HEAD"), get("/"), true},
		{"another method", branch.Method("POST"), get("/"), false},
		{"methods are case-sensitive", branch.Method("purge"), httptest.NewRequest("PURGE", "/", nil), false},

		{"header there", branch.Header("x-beta"), header("X-Beta", ""), true},
		{"header missing", branch.Header("x-beta"), get("/"), false},
		{"header value", branch.Header("X-Beta", "0", "1"), header("X-Beta", "2", "1"), true},
		{"header other value", branch.Header("X-Beta", "0"), header("X-Beta", "1"), false},

		{"host", branch.Host("example.com"), host("EXAMPLE.com"), true},
		{"host with port", branch.Host("example.com"), host("example.com:8080"), true},
		{"host, another", branch.Host("example.com"), host("example.org"), false},
		{"host, IPv6", branch.Host("::1"), host("[::1]:80"), true},
		{"host, IPv6 without port", branch.Host("::1"), host("[::1]"), true},
		{"hosts below", branch.Host("*.example.com"), host("a.b.EXAMPLE.com:80"), true},
		{"hosts below, not itself", branch.Host("*.example.com"), host("example.com"), false},
		{"hosts below, no lookalike", branch.Host("*.example.com"), host("evilexample.com"), false},

		{"query key", branch.Query("branch"), get("/?a=1&branch=x"), true},
		{"query key without value", branch.Query("branch"), get("/?branch"), true},
		{"query key missing", branch.Query("branch"), get("/?branches=1"), false},
		{"query keys are case-sensitive", branch.Query("branch"), get("/?Branch=1"), false},
		{"query escaped", branch.Query("a b"), get("/?a%20b=1"), true},
		{"query plus", branch.Query("a b"), get("/?a+b=1"), true},
		{"query value", branch.Query("v", "1", "2"), get("/?v=3&v=2"), true},
		{"query value escaped", branch.Query("v", "a b"), get("/?v=a%20b"), true},
		{"query other value", branch.Query("v", "1"), get("/?v=3"), false},
		{"query empty value", branch.Query("v", ""), get("/?v"), true},
		{"query pair that net/url refuses", branch.Query("v"), request("GET", "/", func(r *http.Request) { r.URL.RawQuery = "v=%zz&a;v=1" }), false},

		{"path", branch.Path("/a"), get("/A/x"), true},
		{"path, another", branch.Path("/a"), get("/ax"), false},
		{"path, unclean", branch.Path("/a"), get("/x/..//a"), true},

		{"port unknown", branch.Port(80), get("/"), false},

		{"and", branch.And(yes, yes), get("/"), true},
		{"and not", branch.And(no, never), get("/"), false},
		{"or", branch.Or(yes, never), get("/"), true},
		{"or not", branch.Or(no, no), get("/"), false},
		{"not", branch.Not(no), get("/"), true},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, tt.p(tt.r)) })
	}
}

// Port depends on the listener, not on the client's Host header.
func TestPort(t *testing.T) {
	var p branch.Predicate
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p(r) {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer srv.Close()
	port := srv.Listener.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		name string
		port int
		want int
	}{{"own", port, 200}, {"claimed", 9999, 418}} {
		t.Run(tt.name, func(t *testing.T) {
			p = branch.Port(tt.port)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
			require.NoError(t, err)
			req.Host = "example.com:9999"
			res, err := srv.Client().Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, tt.want, res.StatusCode)
		})
	}
}

// The same over HTTP/2, where URL and Host come from pseudo-headers.
func TestHTTP2(t *testing.T) {
	srv := httptest.NewUnstartedServer(branch.Map("/a", show("a"))(show("main")))
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{}
	srv.StartTLS()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/a/x%2Fy")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 2, res.ProtoMajor)
	require.Equal(t, 200, res.StatusCode)
	buf := make([]byte, 256)
	n, _ := res.Body.Read(buf)
	require.Equal(t, `a base="/a" path="/x/y" raw="/x%2Fy" exact=false`, string(buf[:n]))
}

func TestMethodThatWouldNeverHold(t *testing.T) {
	require.PanicsWithValue(t, `branch.Method: "get" would never hold, as methods are compared exactly: write "GET"`, func() { branch.Method("POST", "get") })
}

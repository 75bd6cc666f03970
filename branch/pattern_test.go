package branch_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// mux returns an http.ServeMux with one handler for all patterns.
func mux(h http.HandlerFunc, patterns ...string) *http.ServeMux {
	m := http.NewServeMux()
	for _, p := range patterns {
		m.Handle(p, h)
	}
	return m
}

func TestPatternIsHandedUp(t *testing.T) {
	nothing := func(http.ResponseWriter, *http.Request) {}
	setPattern := func(p string) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Pattern = p })
	}
	items := mux(nothing, "GET /items/{id}", "/all/", "example.com/host/{x...}", "PUT example.com/host/{x...}", "/{$}", "/open")
	end := http.NotFoundHandler()
	for _, tt := range []struct {
		name   string
		h      http.Handler
		method string
		target string
		want   string
	}{
		{"method", branch.Map("/api", items)(end), "GET", "/api/items/7", "GET /api/items/{id}"},
		{"no method", branch.Map("/api", items)(end), "GET", "/api/all/x", "/api/all/"},
		{"host", branch.Map("/api", items)(end), "GET", "/api/host/y/z", "example.com/api/host/{x...}"},
		{"method and host", branch.Map("/api", items)(end), "PUT", "/api/host/y/z", "PUT example.com/api/host/{x...}"},
		{"exact match", branch.Map("/api", items)(end), "GET", "/api", "/api/{$}"},
		{"spelled as registered", branch.Map("/Api", items)(end), "GET", "/aPI/open", "/Api/open"},
		{"prefix of two segments", branch.Map("/v1/api", items)(end), "GET", "/v1/api/open", "/v1/api/open"},
		{"nested", branch.Map("/v1", branch.Map("/api", items)(end))(end), "GET", "/v1/api/items/7", "GET /v1/api/items/{id}"},
		{"UsePathBase", branch.UsePathBase("/app")(items), "GET", "/app/items/7", "GET /app/items/{id}"},
		{"UsePathBase that misses", branch.UsePathBase("/app")(items), "GET", "/items/7", "GET /items/{id}"},
		{"through When and UseWhen", branch.Map("/api", branch.When(branch.Method("GET"), branch.UseWhen(branch.Path("/"+"open"), func(n http.Handler) http.Handler { return n })(items))(end))(end), "GET", "/api/open", "/api/open"},
		{"preserved path", branch.MapWith("/all", branch.MapOptions{PreservePath: true}, items)(end), "GET", "/all/x", "/all/"},
		{"no route", branch.Map("/api", items)(end), "GET", "/api/nothing", ""},
		{"wrong method", branch.Map("/api", items)(end), "POST", "/api/items/7", ""},
		{"a redirect of the mux", branch.Map("/api", items)(end), "GET", "/api/all", "/api/all/"},
		{"no branch", branch.Map("/api", items)(mux(nothing, "/x")), "GET", "/x", "/x"},
		{"a pattern without a path", branch.Map("/api", setPattern("users.show"))(end), "GET", "/api", "users.show"},
		{"the branch was entered with a pattern, sets none", mux(branch.Map("/api", end)(end).ServeHTTP, "/api/"), "GET", "/api/x", "/api/"},
		{"the branch was entered with a pattern, sets one", mux(branch.Map("/api", items)(end).ServeHTTP, "/api/"), "GET", "/api/items/7", "GET /api/items/{id}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.target, nil)
			tt.h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, tt.want, r.Pattern)
		})
	}
}

// A pattern that was set outside in the meantime is not overwritten.
func TestPatternThatChangedOutsideIsKept(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/api/x", nil)
	branch.Map("/api", http.HandlerFunc(func(_ http.ResponseWriter, inside *http.Request) {
		r.Pattern, inside.Pattern = "outer", "/inner"
	}))(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "outer", r.Pattern)
}

// Components that recover or log a panic need the route.
func TestPatternIsHandedUpFromAPanic(t *testing.T) {
	h := branch.Map("/a", branch.Map("/b", mux(func(http.ResponseWriter, *http.Request) { panic("oops") }, "GET /items/{id}"))(http.NotFoundHandler()))(http.NotFoundHandler())
	r := httptest.NewRequest(http.MethodGet, "/a/b/items/7", nil)
	require.PanicsWithValue(t, "oops", func() { h.ServeHTTP(httptest.NewRecorder(), r) })
	require.Equal(t, "GET /a/b/items/{id}", r.Pattern)
}

func TestPathValuesOfTheOutsideAreSeenInside(t *testing.T) {
	values := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PathValue("tenant")+" "+r.PathValue("id"))
	}
	outer := mux(branch.UsePathBase("/t/acme")(http.HandlerFunc(values)).ServeHTTP, "/t/{tenant}/{id}")
	require.Equal(t, "acme 7", getTarget(outer, "/t/acme/7"), "the copy has them")
	outer = mux(branch.Map("/t/acme", mux(values, "/{id}"))(http.NotFoundHandler()).ServeHTTP, "/t/{tenant}/{id}")
	require.Equal(t, " 7", getTarget(outer, "/t/acme/7"), "a ServeMux replaces those of the one around it")
}

package pipeline_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

func isMobile(r *http.Request) bool { return r.Header.Get("Sec-Ch-Ua-Mobile") == "?1" }

// Each branch labels its requests, so that a metric does not lump them together.
func TestRoutes(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	full := http.NewServeMux()
	full.HandleFunc("GET /full/items/{id}", func(http.ResponseWriter, *http.Request) {})
	inner := pipeline.New().Map("/deep", func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) {}) }).MustBuild()
	named := func(_ http.ResponseWriter, r *http.Request) {
		res, _ := pipeline.ResponseFrom(r.Context())
		res.SetRoute("chosen")
	}

	seen := ""
	h := pipeline.New().
		Use(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
			defer func() {
				_ = recover()
				seen = res.Route()
			}()
			next.ServeHTTP(w, r)
		})).
		MapWhen(isMobile, func(b *pipeline.Builder) {
			b.Map("/api", func(b *pipeline.Builder) { b.Run(mux) })
			b.RunFunc(func(http.ResponseWriter, *http.Request) {})
		}).
		Map("/api", func(b *pipeline.Builder) {
			b.MapWhen(branch.Method("PUT"), func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) {}) })
			b.Map("/V1", func(b *pipeline.Builder) { b.Run(mux) })
			b.Map("/chosen", func(b *pipeline.Builder) { b.RunFunc(named) })
			b.UseWhen(branch.Query("x"), func(*pipeline.Builder) {})
		}).
		Mount("/ws", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).
		Mount("/built", inner).
		MapWith("/Full", branch.MapOptions{PreservePath: true}, func(b *pipeline.Builder) { b.Run(full) }).
		MustBuild()

	for _, tt := range []struct {
		name, method, target, route string
		mobile                      bool
	}{
		{"the main line", "GET", "/other", "", false},
		{"a mount", "GET", "/ws", "/ws", false},
		{"below a mount", "GET", "/ws/room/17", "/ws", false},
		{"a mount in other letters", "GET", "/WS/", "/ws", false},
		{"a branch without an answer", "GET", "/api/nothing", "/api", false},
		{"a branch that is rejoined", "GET", "/api/nothing?x", "/api", false},
		{"a branch in a branch", "GET", "/Api/v1/nothing", "/api/v1", false},
		{"a ServeMux at the end", "GET", "/API/v1/items/7", "GET /api/v1/items/{id}", false},
		{"a ServeMux whose handler panics", "GET", "/api/v1/panic", "GET /api/v1/panic", false},
		{"the route of a handler", "GET", "/api/chosen/17", "chosen", false},
		{"a pipeline that is mounted", "GET", "/built/deep/x", "/built/deep", false},
		{"a predicate in a branch", "PUT", "/api/17", "/api MapWhen(branch.Method)", false},
		{"a predicate", "GET", "/other", "MapWhen(pipeline_test.isMobile)", true},
		{"a branch in a predicate's", "GET", "/api/17", "/api", true},
		{"a ServeMux in a predicate's", "GET", "/api/items/17", "GET /api/items/{id}", true},
		{"a path that is preserved", "GET", "/full/nothing", "/full", false},
		{"a ServeMux with full patterns", "GET", "/full/items/17", "GET /full/items/{id}", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.target, nil)
			if tt.mobile {
				r.Header.Set("Sec-Ch-Ua-Mobile", "?1")
			}
			seen = "not called"
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, tt.route, seen)
		})
	}
}

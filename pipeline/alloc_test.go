//go:build !race

package pipeline_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

func TestAllocations(t *testing.T) {
	nothing := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
	})
	branches := func() http.Handler {
		return pipeline.New().
			Map("/nothing", func(b *pipeline.Builder) { b.Run(bare) }).
			Map("/a", func(b *pipeline.Builder) {
				b.Map("/b", func(b *pipeline.Builder) { b.Map("/c", func(b *pipeline.Builder) { b.Run(bare) }).Run(bare) })
				b.Run(bare)
			}).Run(bare).MustBuild()
	}
	type writer interface {
		http.ResponseWriter
		Reset()
	}
	for _, tt := range []struct {
		name   string
		h      http.Handler
		w      writer
		target string
		want   float64
	}{
		{"ten pass-through components", tenPassThrough(), pipelinetest.NewHTTP1(), "/", 0},
		{"a Map that does not match", branches(), pipelinetest.NewHTTP1(), "/x", 0},
		{"a Map that matches", branches(), pipelinetest.NewHTTP1(), "/a/x", 1},
		{"three nested", branches(), pipelinetest.NewHTTP1(), "/a/b/c/x", 3},
		{"an observer, HTTP/1", nothing(bare), pipelinetest.NewHTTP1(), "/", 1},
		{"an observer, HTTP/2", nothing(bare), pipelinetest.NewHTTP2(), "/", 1},
		{"two observers", nothing(nothing(bare)), pipelinetest.NewHTTP1(), "/", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			got := testing.AllocsPerRun(500, func() {
				tt.w.Reset()
				tt.h.ServeHTTP(tt.w, r)
			})
			require.Equal(t, tt.want, got)
		})
	}
}

func TestRouteOfABranchCostsNothing(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	observe := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
	})
	w := httptest.NewRecorder()
	allocs := func(h http.Handler, target string) float64 {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("Sec-Ch-Ua-Mobile", "?1")
		return testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) })
	}
	mapped := pipeline.New().Use(observe).Map("/api", func(b *pipeline.Builder) { b.Run(ok) }).MustBuild()
	require.Equal(t, allocs(observe(branch.Map("/api", ok)(http.NotFoundHandler())), "/api/x"), allocs(mapped, "/api/x"))
	when := pipeline.New().Use(observe).MapWhen(isMobile, func(b *pipeline.Builder) { b.Run(ok) }).MustBuild()
	require.Equal(t, allocs(observe(ok), "/"), allocs(when, "/"))
	require.Equal(t, 1.0, allocs(mapped, "/API/x")-allocs(mapped, "/api/x"), "the lower case of what the client wrote")
}

//go:build !race

package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

// Costs of the components on net/http's own writer, in allocations in addition to the
// handler behind them.
func TestEndpointsAndLimitsAllocations(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /static", bare)
	mux.Handle("GET /items/{id}", bare)
	ends := middleware.Endpoints(mux)
	for _, tt := range []struct {
		name, target string
		h, without   http.Handler
		budget       float64
	}{
		{"Endpoints", "/static", ends(bare), mux, 0},
		{"Endpoints, wildcard", "/items/7", ends(bare), mux, 1},
		{"Endpoints, observed", "/static", pipeline.New().Use(middleware.ResponseTime, ends).MustBuild(), pipeline.New().Use(middleware.ResponseTime).Run(mux).MustBuild(), 0},
		{"Endpoints below a branch, observed", "/api/static", pipeline.New().Use(middleware.ResponseTime).Map("/api", func(b *pipeline.Builder) { b.Use(ends) }).MustBuild(),
			pipeline.New().Use(middleware.ResponseTime).Mount("/api", mux).MustBuild(), 1},
		{"Endpoints, miss below a branch", "/nothing", branch.Map("/api", ends(bare))(bare), bare, 0},
		{"BodyLimit without a body", "/", middleware.BodyLimit(10)(bare), bare, 0},
		{"Timeout, outermost", "/", middleware.Timeout(time.Minute)(bare), bare, timeoutAllocations},
		{"Timeout, below an observer", "/", pipeline.New().Use(middleware.ResponseTime, middleware.Timeout(time.Minute)).Run(bare).MustBuild(),
			pipeline.New().Use(middleware.ResponseTime).Run(bare).MustBuild(), timeoutAllocations},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, r := pipelinetest.NewHTTP1(), httptest.NewRequest(http.MethodGet, tt.target, nil)
			allocs := func(h http.Handler) float64 {
				return testing.AllocsPerRun(100, func() { w.Reset(); h.ServeHTTP(w, r) })
			}
			require.LessOrEqual(t, allocs(tt.h)-allocs(tt.without), tt.budget)
		})
	}
}

// timeoutAllocations counts the context with its parent and its hooks, the timer and the
// copy of the request.
const timeoutAllocations = 11

//go:build !race

package branch_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

func TestAllocations(t *testing.T) {
	end := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	one := branch.Map("/a", end)(end)
	three := branch.Map("/a", branch.Map("/b", branch.Map("/c", end)(end))(end))(end)
	for _, tt := range []struct {
		name, target string
		h            http.Handler
		want         float64
	}{
		{"Map that misses", "/x/y", one, 0},
		{"Map that matches", "/a/y", one, 1},
		{"Map that matches, escaped", "/a/y%2Fz", one, 1},
		{"three nested", "/a/b/c/d", three, 3},
		{"When that misses", "/?x=1&y=2", branch.When(branch.And(branch.Query("z"), branch.Path("/a")), end)(end), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			w := httptest.NewRecorder()
			require.Equal(t, tt.want, testing.AllocsPerRun(100, func() { tt.h.ServeHTTP(w, r) }))
		})
	}
}

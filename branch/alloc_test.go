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
		{"Map that matches in another case", "/A/y", one, 1},
		{"MapWith that misses by case", "/A/y", branch.MapWith("/a", branch.MapOptions{MatchCase: true}, end)(end), 0},
		{"MapWith that matches case", "/a/y", branch.MapWith("/a", branch.MapOptions{MatchCase: true}, end)(end), 1},
		{"MapWith that keeps the path", "/a/y", branch.MapWith("/a", branch.MapOptions{PreservePath: true}, end)(end), 0},
		{"UsePathBase that misses", "/b/y", branch.UsePathBase("/a")(end), 0},
		{"UsePathBase that matches", "/a/y", branch.UsePathBase("/a")(end), 1},
		{"CleanPaths", "/a/y", branch.CleanPaths(end), 0},
		{"When that misses", "/?x=1&y=2", branch.When(branch.And(branch.Query("z"), branch.Path("/a")), end)(end), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			w := httptest.NewRecorder()
			require.Equal(t, tt.want, testing.AllocsPerRun(100, func() { tt.h.ServeHTTP(w, r) }))
		})
	}
}

func TestLinkAllocations(t *testing.T) {
	for _, tt := range []struct {
		name     string
		prefixes []string
		target   string
		want     float64
	}{
		{"outside any branch", nil, "/x?y#z", 0},
		{"in a branch", []string{"/a"}, "/x?y#z", 1},
		{"nested", []string{"/a", "/b"}, "/x", 1},
		{"relative", []string{"/a"}, "x?y", 0},
		{"absolute", []string{"/a"}, "https://example.com/x", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := requestBelow(t, "/a/b/c", tt.prefixes...)
			require.Equal(t, tt.want, testing.AllocsPerRun(100, func() { branch.Link(r, tt.target) }))
		})
	}
}

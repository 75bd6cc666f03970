package branch_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/speakingtube/speakingtube/branch"
)

var benchEnd = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func benchServe(b *testing.B, h http.Handler, target string) {
	r, w := httptest.NewRequest(http.MethodGet, target, nil), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func BenchmarkMap(b *testing.B) {
	one := branch.Map("/api", benchEnd)(benchEnd)
	three := branch.Map("/a", branch.Map("/b", branch.Map("/c", benchEnd)(benchEnd))(benchEnd))(benchEnd)
	ten := http.Handler(benchEnd)
	for _, p := range []string{"/api", "/app", "/apk", "/apl", "/apm", "/apn", "/apo", "/apq", "/apr", "/aps"} {
		ten = branch.Map(p, benchEnd)(ten)
	}
	b.Run("miss", func(b *testing.B) { benchServe(b, one, "/apx/users/7") })
	b.Run("miss ten", func(b *testing.B) { benchServe(b, ten, "/apx/users/7") })
	b.Run("match", func(b *testing.B) { benchServe(b, one, "/api/users/7") })
	b.Run("match in another case", func(b *testing.B) { benchServe(b, one, "/API/users/7") })
	b.Run("match escaped", func(b *testing.B) { benchServe(b, one, "/api/users/7%2F8") })
	b.Run("match unclean", func(b *testing.B) { benchServe(b, one, "/x/../api/users/7") })
	b.Run("match three nested", func(b *testing.B) { benchServe(b, three, "/a/b/c/users/7") })
	b.Run("preserve path", func(b *testing.B) {
		benchServe(b, branch.MapWith("/api", branch.MapOptions{PreservePath: true}, benchEnd)(benchEnd), "/api/users/7")
	})
	b.Run("match case", func(b *testing.B) {
		benchServe(b, branch.MapWith("/api", branch.MapOptions{MatchCase: true}, benchEnd)(benchEnd), "/api/users/7")
	})
}

func BenchmarkCleanPaths(b *testing.B) { benchServe(b, branch.CleanPaths(benchEnd), "/api/users/7") }

func BenchmarkLink(b *testing.B) {
	for _, tt := range []struct {
		name     string
		prefixes []string
	}{{"outside", nil}, {"below", []string{"/a"}}, {"below three", []string{"/a", "/b", "/c"}}} {
		b.Run(tt.name, func(b *testing.B) {
			r := requestBelow(b, "/a/b/c/d", tt.prefixes...)
			b.ReportAllocs()
			for b.Loop() {
				branch.Link(r, "/users/7?tab=roles")
			}
		})
	}
}

func BenchmarkPredicates(b *testing.B) {
	benchServe(b, branch.When(branch.And(branch.Method("GET"), branch.Path("/api"), branch.Query("debug", "1")), benchEnd)(benchEnd), "/api/x?a=1&debug=1")
}

package branch_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// The tests over the wire are in package pipeline.
func TestCleanPaths(t *testing.T) {
	for _, tt := range []struct {
		name     string
		h        http.Handler
		target   string
		location string
		body     string
	}{
		{"clean", branch.CleanPaths(show("h")), "/a%2Fb/", "", `h base="" path="/a/b/" raw="/a%2Fb/" exact=false`},
		{"unclean", branch.CleanPaths(show("h")), "/x/../a//b?q", "/a/b?q", ""},
		{"behind a PathBase", branch.UsePathBase("/ä")(rewritten("//b%2fc/./d", branch.CleanPaths(show("h")))), "/%C3%A4/x", "/%C3%A4/b%2fc/d", ""},
		{"behind StripPrefix", http.StripPrefix("/app", branch.CleanPaths(show("h"))), "/app", "", `h base="" path="/" raw="" exact=false`},
		{"behind StripPrefix that takes the slash", http.StripPrefix("/app/", branch.CleanPaths(show("h"))), "/app/x%2Fy", "", `h base="" path="/x/y" raw="/x%2Fy" exact=false`},
		{"an absolute URL without a path", branch.CleanPaths(show("h")), "http://example.com", "", `h base="" path="/" raw="" exact=false`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			tt.h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.target, nil))
			require.Equal(t, tt.location, w.Header().Get("Location"))
			if tt.location == "" {
				require.Equal(t, tt.body, w.Body.String())
			} else {
				require.Equal(t, http.StatusTemporaryRedirect, w.Code)
			}
		})
	}
}

// rewritten returns a component that rewrites the path.
func rewritten(escaped string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := r.URL.Parse("http://example.com" + escaped)
		if err != nil {
			panic(err)
		}
		r2 := *r
		r2.URL = u
		next.ServeHTTP(w, &r2)
	})
}

func TestCleanPathsHandsUpThePattern(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "http://example.com", nil)
	branch.CleanPaths(mux(func(http.ResponseWriter, *http.Request) {}, "/{$}")).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "/{$}", r.Pattern)
	require.Empty(t, r.URL.Path)
}

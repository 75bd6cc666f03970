package middleware_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// All components agree about the format that a branch fixes, also those above it.
func TestProblemFormat(t *testing.T) {
	ends := func(b *pipeline.Builder) {
		b.Map("/returned", func(b *pipeline.Builder) { b.Run(handlerReturning(errors.New("x"))) }).
			Map("/panic", func(b *pipeline.Builder) { b.Run(handlerPanicking("x")) }).
			Map("/page", func(b *pipeline.Builder) {
				b.RunFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
			}).
			Map("/written", func(b *pipeline.Builder) {
				b.RunFunc(func(w http.ResponseWriter, r *http.Request) { middleware.WriteProblem(w, r, nil) })
			})
	}
	app := pipeline.New().Use(quiet(), middleware.StatusPages(middleware.StatusPagesOptions{}))
	for path, format := range map[string]middleware.Format{
		"/json": middleware.FormatJSON, "/html": middleware.FormatHTML, "/text": middleware.FormatText, "/any": middleware.FormatNegotiated,
	} {
		app.Map(path, func(b *pipeline.Builder) { ends(b.Use(middleware.ProblemFormat(format))) })
	}
	app.Map("/nested", func(b *pipeline.Builder) {
		ends(b.Use(middleware.ProblemFormat(middleware.FormatHTML), middleware.ProblemFormat(middleware.FormatJSON)))
	})
	ends(app)
	overBothProtocols(t, app.MustBuild(), func(t *testing.T, srv *httptest.Server) {
		for _, tt := range []struct{ branch, accept, want string }{
			{"/json", "text/html", asJSON},
			{"/json", "text/plain", asJSON},
			{"/html", "application/json", asHTML},
			{"/text", "application/json", asText},
			{"/nested", "text/html", asJSON},
			{"/any", "text/html", asHTML},
			{"", "text/html", asHTML},
			{"", "*/*", asJSON},
			{"", "application/vnd.example+json", asJSON},
		} {
			for _, end := range []string{"/returned", "/panic", "/page", "/written"} {
				res, _, err := get(t, srv, tt.branch+end, "Accept", tt.accept)
				require.NoError(t, err)
				require.Equal(t, 500, res.StatusCode)
				require.Equal(t, tt.want, res.Header.Get("Content-Type"), "%s%s", tt.branch, end)
				require.Equal(t, tt.branch == "" || tt.branch == "/any", res.Header.Get("Vary") == "Accept", "%s%s", tt.branch, end)
			}
		}
	})
	for _, bad := range []middleware.Format{-1, 4} {
		_, err := pipeline.New().Use(middleware.ProblemFormat(bad)).Build()
		var config *pipeline.ConfigError
		require.ErrorAs(t, err, &config)
	}
}

package pipeline_test

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// matchers is a pipeline of all components that match paths. Each of them names itself in
// the header Taken.
func matchers(data bool) http.Handler {
	name := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Taken", s+" below "+strings.ToLower(branch.PathBase(r)))
		})
	}
	app := pipeline.NewWith(pipeline.Options{Logger: slog.New(slog.DiscardHandler)})
	inside := func(b *pipeline.Builder) {
		b.Mount("/b", name("b"))
		b.MapWhen(branch.Not(branch.Or(branch.Path("/c"), branch.Path("/c/d"))), func(b *pipeline.Builder) {
			b.UseWhen(branch.Path("/e"), func(b *pipeline.Builder) { b.Use(named("e")) })
			b.Use(branch.UsePathBase("/e"))
			b.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/b/c"}))
			b.Use(middleware.StaticFiles(middleware.StaticFilesOptions{
				FS:     fstest.MapFS{"d/e": {Data: []byte("file")}, "c/d/index.html": {Data: []byte("page"), Mode: fs.ModePerm}},
				Header: func(h http.Header, _ string) { h.Add("Taken", "file") },
			}))
			b.Run(name("not c"))
		})
		b.Run(name("c"))
	}
	app.MapWith("/a", branch.MapOptions{EscapedSlashesAreData: data}, func(b *pipeline.Builder) { inside(b.Use(named("a"))) })
	inside(app)
	return app.MustBuild()
}

func named(s string) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Taken", s)
			next.ServeHTTP(w, r)
		})
	}
}

// outcomeOf returns the components that took a request, with the status.
func outcomeOf(h http.Handler, escaped string) string {
	u, err := url.ParseRequestURI(escaped)
	if err != nil {
		panic(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
	return http.StatusText(w.Code) + " " + strings.Join(w.Header()["Taken"], " ") + " " + w.Header().Get("Location")
}

var escapedSlashes = regexp.MustCompile(`%2[Ff]`)

// slashPieces are the pieces of targets that are tried.
var slashPieces = []string{"/", "%2F", "a", "b", "c", "d", "e", "/a/", "b%2fc", "x"}

func TestEscapedSlashCombinations(t *testing.T) {
	pipelines := map[bool]http.Handler{false: matchers(false), true: matchers(true)}
	for _, p := range slashPieces {
		for _, q := range slashPieces {
			for _, r := range slashPieces {
				checkBothReadings(t, pipelines, "/"+p+q+r)
				checkBothReadings(t, pipelines, "/a/"+p+q+r)
			}
		}
	}
}

func FuzzEscapedSlashes(f *testing.F) {
	for _, p := range slashPieces {
		f.Add("/b%2F" + p)
		f.Add("/a/c%2F" + p)
		f.Add("/e/b%2fc" + p)
	}
	pipelines := map[bool]http.Handler{false: matchers(false), true: matchers(true)}
	f.Fuzz(func(t *testing.T, target string) { checkBothReadings(t, pipelines, target) })
}

// checkBothReadings: a request with escaped slashes gets the answer of both of these, or 400:
// the same with plain slashes, and the same with another character instead, which no
// component matches. The pipelines are without and with a branch where the slashes are data.
func checkBothReadings(t *testing.T, pipelines map[bool]http.Handler, target string) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Host != "" || u.Scheme != "" || u.RawQuery != "" || u.ForceQuery || !strings.HasPrefix(u.Path, "/") || strings.ContainsAny(u.Path, "\x00\x01") {
		return
	}
	raw := u.EscapedPath()
	asData := escapedSlashes.ReplaceAllString(raw, "%01")
	if p, err := url.PathUnescape(asData); err != nil || !branch.IsClean(p) {
		return // redirected, whatever the slashes mean
	}
	asSeparators, err := url.PathUnescape(raw)
	require.NoError(t, err)
	for seg := range strings.SplitSeq(asSeparators, "/") {
		if seg == "." || seg == ".." {
			require.Contains(t, outcomeOf(pipelines[false], raw), "Bad Request", raw)
			return
		}
	}
	cleaned := path.Clean(asSeparators)
	if strings.HasSuffix(asSeparators, "/") && cleaned != "/" {
		cleaned += "/"
	}
	separated := (&url.URL{Path: cleaned}).EscapedPath()

	got, data, separate := outcomeOf(pipelines[false], raw), outcomeOf(pipelines[false], asData), outcomeOf(pipelines[false], separated)
	if data == separate {
		require.Equal(t, data, got, raw)
	} else {
		require.Contains(t, got, "Bad Request", "%s: %s, and %s", raw, data, separate)
	}
	// In a branch where they are data, only one of the answers counts.
	if strings.HasPrefix(strings.ToLower(raw), "/a/") {
		require.Equal(t, outcomeOf(pipelines[true], asData), outcomeOf(pipelines[true], raw), raw)
	}
}

package pipeline_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

var (
	keepPath  = branch.MapOptions{PreservePath: true}
	matchCase = branch.MapOptions{MatchCase: true}
)

func answerPath(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s + %s", branch.PathBase(r), r.URL.Path)
}

func whereMain(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "main") }

func TestMapWithAndMountWith(t *testing.T) {
	b := pipeline.New()
	b.MapWith("/Case", matchCase, func(b *pipeline.Builder) { b.RunFunc(answerPath) })
	b.MapWith("/keep", keepPath, func(b *pipeline.Builder) {
		b.Map("/keep/below", func(b *pipeline.Builder) { b.Use(tagA).RunFunc(answerPath) })
		b.RunFunc(answerPath)
	})
	b.MountWith("/mount", keepPath, http.HandlerFunc(answerPath))
	b.MountWith("/{x}", branch.MapOptions{Literal: true}, http.HandlerFunc(answerPath))
	b.RunFunc(whereMain)
	srv := serveTest(t, b.MustBuild(), false)
	for target, want := range map[string]string{
		"/Case/x":         "/Case + /x",
		"/case/x":         "main",
		"/keep/x":         " + /keep/x",
		"/KEEP":           " + /KEEP",
		"/keep/below/x":   "a>/keep/below + /x<a",
		"/keep/belowx":    " + /keep/belowx",
		"/mount/x":        " + /mount/x",
		"/%7bx%7D/y":      "/{x} + /y",
		"/anything/y":     "main",
		"/keeper":         "main",
		"/mount%2Fx":      ambiguous,
		"/mount/%2Fx":     " + /mount//x",
		"/Case%2Fx/":      ambiguous,
		"/Case/x%2F":      "/Case + /x/",
		"/keep%2Fbelow/x": ambiguous,
		"/keep/below%2Fx": ambiguous,
	} {
		_, body := get(t, srv, target)
		require.Equal(t, want, body, target)
	}
	require.Equal(t, strings.TrimSpace(`
pipeline
├─ Map      /Case [MatchCase]
│  └─ Run      pipeline_test.answerPath
├─ Map      /keep [PreservePath]
│  ├─ Map      /keep/below
│  │  ├─ Use      pipeline_test.tagA
│  │  └─ Run      pipeline_test.answerPath
│  └─ Run      pipeline_test.answerPath
├─ Mount    /mount [PreservePath] → pipeline_test.answerPath
├─ Mount    /{x} [Literal] → pipeline_test.answerPath
└─ Run      pipeline_test.whereMain`), b.String())
	require.Equal(t, "pipeline\n├─ Map      /m [PreservePath MatchCase Literal]\n│  └─ (end)    404\n└─ (end)    404",
		pipeline.New().MapWith("/m", branch.MapOptions{PreservePath: true, MatchCase: true, Literal: true}, func(*pipeline.Builder) {}).String())
}

// A prefix that is never reached is a mistake; one that is reached sometimes is not.
func TestBuildFindsPrefixesThatAreNeverReached(t *testing.T) {
	nothing := func(*pipeline.Builder) {}
	end := text("x")
	for _, tt := range []struct {
		name string
		app  func(*pipeline.Builder)
		want string // "": no mistake
	}{
		{"behind one that takes all", func(b *pipeline.Builder) { b.Mount("/a", end).Mount("/a/b", end) }, "Mount(/a/b): never reached: Mount(/a) at "},
		{"before it", func(b *pipeline.Builder) { b.Mount("/a/b", end).Mount("/a", end) }, ""},
		{"another segment", func(b *pipeline.Builder) { b.Mount("/a", end).Mount("/ab", end) }, ""},
		{"case counts for both", func(b *pipeline.Builder) { b.MountWith("/a", matchCase, end).MountWith("/a/b", matchCase, end) }, "never reached"},
		{"case counts for both, differs", func(b *pipeline.Builder) { b.MountWith("/a", matchCase, end).MountWith("/A/b", matchCase, end) }, ""},
		{"case counts for the first", func(b *pipeline.Builder) { b.MountWith("/a", matchCase, end).Mount("/a/b", end) }, ""},
		{"case counts for the first, which has no letters", func(b *pipeline.Builder) { b.MountWith("/1", matchCase, end).Mount("/1/b", end) }, "never reached"},
		{"case counts for the second", func(b *pipeline.Builder) { b.Mount("/a", end).MountWith("/A/b", matchCase, end) }, "never reached"},
		{"the first keeps the path", func(b *pipeline.Builder) { b.MountWith("/a", keepPath, end).Mount("/a/b", end) }, "never reached"},
		{"literal prefixes", func(b *pipeline.Builder) {
			lit := branch.MapOptions{Literal: true}
			b.MountWith("/{x}", lit, end).MountWith("/{x}/y", lit, end)
		}, "never reached"},
		{"a component in between", func(b *pipeline.Builder) { b.Mount("/a", end).Use(tag("x")).Mount("/a/b", end) }, ""},
		{"a condition on the first", func(b *pipeline.Builder) {
			b.MapWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Mount("/a", end) }).Mount("/a/b", end)
		}, ""},
		{"a condition on the second", func(b *pipeline.Builder) {
			b.Mount("/a", end).MapWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Mount("/a/b", end) })
		}, "Mount(/a/b): never reached: Mount(/a) at "},
		{"a rejoining condition on the second", func(b *pipeline.Builder) {
			b.Mount("/a", end).UseWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Mount("/a/b", end) })
		}, "Mount(/a/b): never reached: Mount(/a) at "},
		{"a component in the condition", func(b *pipeline.Builder) {
			b.Mount("/a", end).UseWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Use(tag("x")).Mount("/a/b", end) })
		}, ""},
		{"inside a branch the path is another", func(b *pipeline.Builder) {
			b.Mount("/a", end).Map("/b", func(b *pipeline.Builder) { b.Mount("/a", end) })
		}, ""},
		{"inside a branch that keeps it, it is the same", func(b *pipeline.Builder) {
			b.Mount("/b/a", end).MapWith("/b", keepPath, func(b *pipeline.Builder) { b.Mount("/b/a", end) })
		}, "Mount(/b/a): never reached: Mount(/b/a) at "},
		{"facts from one condition survive another", func(b *pipeline.Builder) {
			b.Mount("/a", end).Mount("/b", end).Mount("/c", end)
			b.MapWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Mount("/x", end) })
			b.Mount("/d", end)
			b.MapWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Mount("/d/e", end) })
		}, "Mount(/d/e): never reached: Mount(/d) at "},
		{"siblings of different branches", func(b *pipeline.Builder) {
			b.MapWith("/b", keepPath, func(b *pipeline.Builder) { b.Mount("/b/a", end) })
			b.MapWith("/c", keepPath, func(b *pipeline.Builder) { b.Mount("/c/a", end).Mount("/c/b", end) })
		}, ""},

		{"short prefix where the path is kept", func(b *pipeline.Builder) {
			b.MapWith("/api", keepPath, func(b *pipeline.Builder) { b.Map("/users", nothing) })
		}, `Map(/users): never reached: the branch of Map(/api) at `},
		{"short prefix where the path is kept, in a condition", func(b *pipeline.Builder) {
			b.MapWith("/api", keepPath, func(b *pipeline.Builder) {
				b.UseWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Mount("/users", end) })
			})
		}, `keeps the path (PreservePath): write "/api/users", or do without PreservePath`},
		{"full prefix where the path is kept", func(b *pipeline.Builder) {
			b.MapWith("/api", keepPath, func(b *pipeline.Builder) { b.Map("/API/users", nothing) })
		}, ""},
		{"full prefix where the path is kept, twice", func(b *pipeline.Builder) {
			b.MapWith("/api", keepPath, func(b *pipeline.Builder) {
				b.MapWith("/api/v1", keepPath, func(b *pipeline.Builder) { b.Map("/api/v1/users", nothing) })
			})
		}, ""},
		{"the same prefix where the path is kept", func(b *pipeline.Builder) {
			b.MapWith("/api", keepPath, func(b *pipeline.Builder) { b.Map("/api", nothing) })
		}, ""},
		{"another case where the path is kept and case counts", func(b *pipeline.Builder) {
			b.MapWith("/api", branch.MapOptions{PreservePath: true, MatchCase: true}, func(b *pipeline.Builder) { b.MapWith("/API/users", matchCase, nothing) })
		}, "never reached"},
		{"something in between may rewrite the path", func(b *pipeline.Builder) {
			b.MapWith("/api", keepPath, func(b *pipeline.Builder) { b.Use(branch.UsePathBase("/api")).Map("/users", nothing) })
		}, ""},
		{"short prefix in a Map in a branch that keeps the path", func(b *pipeline.Builder) {
			b.MapWith("/api", keepPath, func(b *pipeline.Builder) {
				b.Map("/api/v1", func(b *pipeline.Builder) { b.Map("/users", nothing) })
			})
		}, ""},

		{"a pattern", func(b *pipeline.Builder) { b.Map("/users/{id}", nothing) }, `Map(/users/{id}): the prefix "/users/{id}" looks like a pattern`},
		{"an escape", func(b *pipeline.Builder) { b.MountWith("/a%20b", matchCase, end) }, `Mount(/a%20b): the prefix "/a%20b" has a percent escape`},
		{"no configuration", func(b *pipeline.Builder) { b.MapWith("/m", keepPath, nil) }, "Map(/m): the function that configures the branch is nil"},
		{"no handler", func(b *pipeline.Builder) { b.MountWith("/m", keepPath, nil) }, "Mount(/m): the handler is nil"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := pipeline.New()
			tt.app(b)
			_, err := b.Build()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.Regexp(t, `^pipeline: \S*`+regexp.QuoteMeta("map_test.go:")+`\d+: `, err.Error(), "the place")
			require.NotContains(t, err.Error(), "\n", "one mistake, one error")
		})
	}
}

// UseWhen rejoins wherever it stands; Map and MapWhen do not.
func TestBranchesAtAnyDepth(t *testing.T) {
	b := pipeline.New().Use(tag("main"))
	b.UseWhen(branch.Query("a"), func(b *pipeline.Builder) {
		b.Use(tag("a"))
		b.UseWhen(branch.Query("b"), func(b *pipeline.Builder) {
			b.Use(tag("b"))
			b.Map("/in", func(b *pipeline.Builder) {
				b.UseWhen(branch.Query("c"), func(b *pipeline.Builder) { b.Use(tag("c")) })
				b.Use(tag("in"))
			})
			b.MapWhen(branch.Query("end"), func(b *pipeline.Builder) { b.Use(tag("end")) })
		})
		b.Use(tag("a2"))
	})
	b.Use(tag("rest")).Run(text("home"))
	srv := serveTest(t, b.MustBuild(), false)
	const none = "404 page not found\n"
	for target, want := range map[string]string{
		"/":             "main>rest>home<rest<main",
		"/?a":           "main>a>a2>rest>home<rest<a2<a<main",
		"/?a&b":         "main>a>b>a2>rest>home<rest<a2<b<a<main",
		"/?b":           "main>rest>home<rest<main",
		"/in":           "main>rest>home<rest<main",
		"/in?a":         "main>a>a2>rest>home<rest<a2<a<main",
		"/in/x?a&b":     "main>a>b>in>" + none + "<in<b<a<main",
		"/in/x?a&b&c":   "main>a>b>c>in>" + none + "<in<c<b<a<main",
		"/x?a&b&end":    "main>a>b>end>" + none + "<end<b<a<main",
		"/in?a&b&end&c": "main>a>b>c>in>" + none + "<in<c<b<a<main",
	} {
		_, body := get(t, srv, target)
		require.Equal(t, want, body, target)
	}
}

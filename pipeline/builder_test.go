package pipeline_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/justinas/alice"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestPipeline(t *testing.T) {
	for _, tt := range []struct {
		name   string
		app    func(*pipeline.Builder)
		target string
		status int
		want   string
	}{
		{"in order and back", func(b *pipeline.Builder) { b.Use(tag("a"), tag("b")).Use(tag("c")).Run(text("end")) }, "/", 200, "a>b>c>end<c<b<a"},
		{"nothing at all", func(*pipeline.Builder) {}, "/", 404, "404 page not found\n"},
		{"end without Run", func(b *pipeline.Builder) {
			b.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) })
		}, "/", 404, "404 page not found\n"},
		{"short circuit", func(b *pipeline.Builder) {
			b.Use(tag("a")).UseFunc(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { text("stop")(w, nil) }).Use(tag("never")).Run(text("never"))
		}, "/", 200, "a>stop<a"},
		{"inline before and after", func(b *pipeline.Builder) {
			b.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				text("before ")(w, r)
				next.ServeHTTP(w, r)
				text(" after")(w, r)
			}).RunFunc(text("end"))
		}, "/", 200, "before end after"},
		{"an alice chain as it is", func(b *pipeline.Builder) { b.Use(alice.New(tagA, tagB).Then).Run(text("end")) }, "/", 200, "a>b>end<b<a"},
		{"an alice constructor as it is", func(b *pipeline.Builder) { b.Use(alice.Constructor(tagA)).Run(text("end")) }, "/", 200, "a>end<a"},
		{"Map takes", func(b *pipeline.Builder) { b.Use(tag("a")).Map("/m", namedBranch("m")).Use(tag("b")).Run(text("end")) }, "/m/x", 200, "a>m>mapped<m<a"},
		{"Map passes", func(b *pipeline.Builder) { b.Use(tag("a")).Map("/m", namedBranch("m")).Use(tag("b")).Run(text("end")) }, "/mm", 200, "a>b>end<b<a"},
		{"Map never falls back", func(b *pipeline.Builder) { b.Map("/m", func(*pipeline.Builder) {}).Run(text("end")) }, "/m", 404, "404 page not found\n"},
		{"nested", func(b *pipeline.Builder) {
			b.Map("/m", func(b *pipeline.Builder) { b.Map("/n", namedBranch("n")).Run(text("m")) }).Run(text("end"))
		}, "/m/n", 200, "n>mapped<n"},
		{"MapWhen takes", func(b *pipeline.Builder) { b.MapWhen(branch.Query("q"), namedBranch("q")).Run(text("end")) }, "/?q", 200, "q>mapped<q"},
		{"MapWhen never falls back", func(b *pipeline.Builder) { b.MapWhen(branch.Query("q"), func(*pipeline.Builder) {}).Run(text("end")) }, "/?q", 404, "404 page not found\n"},
		{"UseWhen rejoins", func(b *pipeline.Builder) {
			b.UseWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Use(tag("q")) }).Use(tag("z")).Run(text("end"))
		}, "/?q", 200, "q>z>end<z<q"},
		{"UseWhen passes", func(b *pipeline.Builder) {
			b.UseWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Use(tag("q")) }).Use(tag("z")).Run(text("end"))
		}, "/", 200, "z>end<z"},
		{"UseWhen with a Run of its own", func(b *pipeline.Builder) { b.UseWhen(branch.Query("q"), namedBranch("q")).Run(text("end")) }, "/?q", 200, "q>mapped<q"},
		{"UseWhen rejoins at depth", func(b *pipeline.Builder) {
			b.UseWhen(branch.Query("q"), func(b *pipeline.Builder) {
				b.Use(tag("q")).UseWhen(branch.Query("r"), func(b *pipeline.Builder) { b.Use(tag("r")) }).Use(tag("s"))
			}).Run(text("end"))
		}, "/?q&r", 200, "q>r>s>end<s<r<q"},
		{"UseWhen that rejoins an empty end", func(b *pipeline.Builder) { b.UseWhen(branch.Query("q"), func(b *pipeline.Builder) {}) }, "/?q", 404, "404 page not found\n"},
		{"Mount", func(b *pipeline.Builder) { b.Mount("/m", http.HandlerFunc(showPath)).Run(text("end")) }, "/m/x", 200, "/m /x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := pipeline.New()
			tt.app(b)
			for _, http2 := range []bool{false, true} {
				res, body := get(t, serveTest(t, b.MustBuild(), http2), tt.target)
				require.Equal(t, tt.status, res.StatusCode)
				require.Equal(t, tt.want, body)
			}
		})
	}
}

func tagA(next http.Handler) http.Handler { return tag("a")(next) }
func tagB(next http.Handler) http.Handler { return tag("b")(next) }

func namedBranch(name string) func(*pipeline.Builder) {
	return func(b *pipeline.Builder) { b.Use(tag(name)).Run(text("mapped")) }
}

func showPath(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, branch.PathBase(r), " ", r.URL.Path)
}

func TestConstructedOncePerBuild(t *testing.T) {
	made := 0
	b := pipeline.New().Use(func(next http.Handler) http.Handler { made++; return next }).Run(text("end"))
	require.Zero(t, made, "Use constructs nothing")
	h := b.MustBuild()
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
	require.Equal(t, 1, made)
	b.MustBuild()
	require.Equal(t, 2, made)
}

func TestHas(t *testing.T) {
	b := pipeline.New().Use(tag("a")).UseNamed("auth", tag("b"))
	b.Map("/m", func(b *pipeline.Builder) {
		require.False(t, b.Has("auth"), "a branch is a builder of its own")
		b.UseNamed("auth", tag("c"))
	})
	require.True(t, b.Has("auth"))
	require.False(t, b.Has("a"))
	require.False(t, b.Has(""))
	_, err := b.Build()
	require.NoError(t, err)
}

// callerLine returns the file:line that is the given number of lines below the call.
func callerLine(lines int) string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", file, line+lines)
}

func TestBuildFindsEveryMistake(t *testing.T) {
	var nilFunc http.HandlerFunc
	var nilMux *http.ServeMux
	for _, tt := range []struct {
		name string
		app  func(*pipeline.Builder) string // returns the file:line of the mistake
		want string
	}{
		{"nil component", func(b *pipeline.Builder) string { b.Use(nil); return callerLine(0) }, "Use(nil): the component is nil"},
		{"no component", func(b *pipeline.Builder) string { b.Use(); return callerLine(0) }, "Use(nothing): no component was given"},
		{"nil named component", func(b *pipeline.Builder) string { b.UseNamed("x", nil); return callerLine(0) }, "Use(x): the component is nil"},
		{"empty name", func(b *pipeline.Builder) string { b.UseNamed("", tag("a")); return callerLine(0) }, "Use((no name)): the name is empty: use Use for a component without a name"},
		{"nil inline component", func(b *pipeline.Builder) string { b.UseFunc(nil); return callerLine(0) }, "Use(nil): the component is nil"},
		{"nil result", func(b *pipeline.Builder) string {
			b.Use(func(http.Handler) http.Handler { return nil })
			return callerLine(-1)
		}, "the component made a nil handler"},
		{"typed nil result", func(b *pipeline.Builder) string {
			b.Use(func(http.Handler) http.Handler { return nilFunc })
			return callerLine(-1)
		}, "the component made a nil handler"},
		{"constructor panics", func(b *pipeline.Builder) string {
			b.Use(func(http.Handler) http.Handler { panic("no limit given") })
			return callerLine(-1)
		}, "the component panicked when it was constructed: no limit given"},
		{"bad options", func(b *pipeline.Builder) string {
			b.Use(func(http.Handler) http.Handler {
				panic(&pipeline.ConfigError{Component: "limit.New", Problem: "the rate is 0"})
			})
			return callerLine(-3)
		}, "limit.New: the rate is 0"},
		{"nil terminal", func(b *pipeline.Builder) string { b.Run(nil); return callerLine(0) }, "Run(nil): the handler is nil"},
		{"typed nil terminal", func(b *pipeline.Builder) string { b.Run(nilMux); return callerLine(0) }, "Run(*http.ServeMux): the handler is nil"},
		{"nil terminal function", func(b *pipeline.Builder) string { b.RunFunc(nil); return callerLine(0) }, "Run(nil): the handler is nil"},
		{"nil mount", func(b *pipeline.Builder) string { b.Mount("/m", nil); return callerLine(0) }, "Mount(/m): the handler is nil"},
		{"component after Run", func(b *pipeline.Builder) string { b.Run(text("end")); b.Use(tag("a")); return callerLine(0) }, "a component after Run is never reached: move it before the Run at"},
		{"second Run", func(b *pipeline.Builder) string { b.Run(text("end")); b.Run(text("end")); return callerLine(0) }, "a second Run is never reached: the first is at"},
		{"name given twice", func(b *pipeline.Builder) string {
			b.UseNamed("x", tag("a"))
			b.UseNamed("x", tag("b"))
			return callerLine(-1)
		}, "Use(x): the name is taken by the component added at"},
		{"prefix without slash", func(b *pipeline.Builder) string { b.Map("m", namedBranch("m")); return callerLine(0) }, `Map(m): the prefix "m" must begin with a slash: "/m"`},
		{"prefix with slash at the end", func(b *pipeline.Builder) string { b.Mount("/m/", text("m")); return callerLine(0) }, `Mount(/m/): the prefix "/m/" must not end with a slash: "/m" matches everything below it as well`},
		{"shadowed prefix", func(b *pipeline.Builder) string {
			b.Map("/m", namedBranch("m"))
			b.Mount("/M/n", text("n"))
			return callerLine(-1)
		}, "Mount(/M/n): never reached: Map(/m) at"},
		{"same prefix", func(b *pipeline.Builder) string {
			b.Map("/m", namedBranch("m"))
			b.Map("/m", namedBranch("m"))
			return callerLine(-1)
		}, "Map(/m): never reached: Map(/m) at"},
		{"nil predicate", func(b *pipeline.Builder) string { b.MapWhen(nil, namedBranch("m")); return callerLine(0) }, "MapWhen(nil): the predicate is nil"},
		{"nil predicate, rejoining", func(b *pipeline.Builder) string { b.UseWhen(nil, namedBranch("m")); return callerLine(0) }, "UseWhen(nil): the predicate is nil"},
		{"nil configuration", func(b *pipeline.Builder) string { b.Map("/m", nil); return callerLine(0) }, "Map(/m): the function that configures the branch is nil"},
		{"inside a branch", func(b *pipeline.Builder) (at string) {
			b.Map("/m", func(b *pipeline.Builder) { b.Use(nil); at = callerLine(0) })
			return at
		}, "Use(nil): the component is nil"},
		{"inside a rejoining branch", func(b *pipeline.Builder) (at string) {
			b.UseWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Use(nil); at = callerLine(0) })
			return at
		}, "Use(nil): the component is nil"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := pipeline.New()
			at := tt.app(b)
			h, err := b.Build()
			require.Nil(t, h)
			require.ErrorContains(t, err, tt.want)
			require.Regexp(t, `^pipeline: `+regexp.QuoteMeta(at)+`: \w+\(`, err.Error(), "the place")
			require.NotContains(t, err.Error(), "\n", "one mistake, one error")
			require.Panics(t, func() { b.MustBuild() })
		})
	}
}

func TestBuildJoinsMistakes(t *testing.T) {
	b := pipeline.New().Use(nil)
	b.Use(func(http.Handler) http.Handler { panic(&pipeline.ConfigError{Component: "c", Problem: "p"}) })
	b.Map("x", func(b *pipeline.Builder) { b.Run(nil) })
	b.Run(nil).Run(text("end"))
	_, err := b.Build()
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 6, "%v", err)
	var ce *pipeline.ConfigError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, "c: p", ce.Error())
}

func TestString(t *testing.T) {
	b := pipeline.New().UseNamed("auth", tag("a")).Use(tagA)
	b.Mount("/ws", http.NewServeMux())
	b.Map("/admin", func(b *pipeline.Builder) { b.Map("/users", func(*pipeline.Builder) {}).RunFunc(showPath) })
	b.UseWhen(branch.Query("q"), func(b *pipeline.Builder) { b.UseFunc(showNext) })
	want := strings.TrimSpace(`
pipeline
├─ Use      auth
├─ Use      pipeline_test.tagA
├─ Mount    /ws → *http.ServeMux
├─ Map      /admin
│  ├─ Map      /users
│  │  └─ (end)    404
│  └─ Run      pipeline_test.showPath
├─ UseWhen  branch.Query
│  ├─ Use      pipeline_test.showNext
│  └─ (end)    rejoins
└─ (end)    404`)
	require.Equal(t, want, b.String())
}

func showNext(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }

// A call on the outer builder inside a branch's function is a common mistake.
func TestTheBuilderAroundInsideABranch(t *testing.T) {
	app := pipeline.New()
	app.Map("/x", func(*pipeline.Builder) { app.Run(text("oops")) })
	app.Run(text("end"))
	_, err := app.Build()
	require.ErrorContains(t, err, "called on the builder around the branch, inside the function that configures Map(/x)")
	require.ErrorContains(t, err, "use that function's own builder")
}

// Mistakes are listed in the order of the calls, also those of constructors, which run from
// the last to the first, and those inside branches.
func TestMistakesInOrder(t *testing.T) {
	bad := func(name string) pipeline.Middleware {
		return func(http.Handler) http.Handler { panic(&pipeline.ConfigError{Component: name, Problem: "no"}) }
	}
	app := pipeline.New()
	app.Use(bad("1"))
	app.Map("/a", func(b *pipeline.Builder) { b.Use(bad("2")).Run(nil) })
	app.Use(bad("4"))
	app.Mount("bad", text("5"))
	_, err := app.Build()
	var order []string
	for _, m := range err.(interface{ Unwrap() []error }).Unwrap() {
		text := m.Error()
		order = append(order, text[strings.LastIndex(text, "): ")+3:])
	}
	require.Equal(t, []string{"1: no", "2: no", "the handler is nil", "4: no", `the prefix "bad" must begin with a slash: "/bad"`}, order)
}

package pipeline_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestTwoHealthChecksForOnePath(t *testing.T) {
	at := func(path string) pipeline.Middleware {
		return middleware.HealthChecks(middleware.HealthChecksOptions{Path: path})
	}
	onPort := func(path string, port int) pipeline.Middleware {
		return middleware.HealthChecks(middleware.HealthChecksOptions{Path: path, Port: port})
	}
	same := func(next http.Handler) http.Handler { return next }
	for _, tt := range []struct {
		name     string
		app      func(*pipeline.Builder)
		mistakes int
	}{
		{"one", func(b *pipeline.Builder) { b.Use(at("/health")) }, 0},
		{"two paths", func(b *pipeline.Builder) { b.Use(at("/health"), at("/health/live"), at("/healthy")) }, 0},
		{"the same path", func(b *pipeline.Builder) { b.Use(at("/health"), at("/health")) }, 1},
		{"three times", func(b *pipeline.Builder) { b.Use(at("/health"), at("/health"), at("/health")) }, 2},
		{"in another case", func(b *pipeline.Builder) { b.Use(at("/health")).Use(at("/Health")) }, 1},
		{"the root", func(b *pipeline.Builder) { b.Use(at("/"), at("/")) }, 1},
		{"components between", func(b *pipeline.Builder) { b.Use(at("/health"), tag("a"), same, at("/health")) }, 1},
		{"two ports", func(b *pipeline.Builder) { b.Use(onPort("/health", 1), onPort("/health", 2), at("/health")) }, 0},
		{"the same port", func(b *pipeline.Builder) { b.Use(onPort("/health", 1), onPort("/health", 1)) }, 1},
		{"any port first", func(b *pipeline.Builder) { b.Use(at("/health"), onPort("/health", 1)) }, 1},
		{"a component that returns its next handler", func(b *pipeline.Builder) { b.Use(same, at("/health")) }, 0},
		{"in a branch of its own", func(b *pipeline.Builder) {
			b.Use(at("/health")).Map("/in", func(b *pipeline.Builder) { b.Use(at("/health")) })
		}, 0},
		{"in two branches", func(b *pipeline.Builder) {
			for _, p := range []string{"/a", "/b"} {
				b.Map(p, func(b *pipeline.Builder) { b.Use(at("/health")) })
			}
		}, 0},
		{"twice in a branch", func(b *pipeline.Builder) {
			b.Map("/in", func(b *pipeline.Builder) { b.Use(at("/health"), at("/health")) })
		}, 1},
		{"on the way to MapWhen", func(b *pipeline.Builder) {
			b.Use(at("/health")).MapWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Use(at("/health")) })
		}, 1},
		{"behind MapWhen", func(b *pipeline.Builder) {
			b.MapWhen(branch.Query("q"), func(b *pipeline.Builder) { b.Use(at("/health")) }).Use(at("/health"))
		}, 0},
		{"on the way to UseWhen, nested", func(b *pipeline.Builder) {
			b.Use(at("/health")).UseWhen(branch.Query("q"), func(b *pipeline.Builder) {
				b.UseWhen(branch.Query("r"), func(b *pipeline.Builder) { b.Use(at("/health")) })
			})
		}, 1},
		{"on the way to a branch that preserves the path", func(b *pipeline.Builder) {
			b.Use(at("/in/health")).MapWith("/in", branch.MapOptions{PreservePath: true}, func(b *pipeline.Builder) { b.Use(at("/in/health")) })
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := pipeline.New()
			tt.app(app)
			_, err := app.Build()
			if tt.mistakes == 0 {
				require.NoError(t, err)
				return
			}
			joined, ok := err.(interface{ Unwrap() []error })
			require.True(t, ok)
			require.Len(t, joined.Unwrap(), tt.mistakes)
			require.Regexp(t, `onepath_test.go:\d+: Use\(middleware.HealthChecks\): never reached: Use\(middleware.HealthChecks\) at .*onepath_test.go:\d+ answers the same path`, err.Error())
			_, err = app.Build()
			require.Error(t, err, "each Build finds them")
		})
	}
}

func TestMountOfTheRootSaysRun(t *testing.T) {
	for _, prefix := range []string{"/", ""} {
		_, err := pipeline.New().Mount(prefix, text("x")).Build()
		require.ErrorContains(t, err, "it would match every request; use Run")
		_, err = pipeline.New().MountWith(prefix, branch.MapOptions{PreservePath: true}, text("x")).Build()
		require.ErrorContains(t, err, "use Run")
		_, err = pipeline.New().Map(prefix, func(*pipeline.Builder) {}).Build()
		require.ErrorContains(t, err, "add the components to the main line instead")
	}
}

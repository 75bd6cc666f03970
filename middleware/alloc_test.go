//go:build !race

package middleware_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

// resetter is a writer that can be reused.
type resetter interface {
	http.ResponseWriter
	Reset()
}

// flusherOnly is like some third-party wrappers: it has neither of net/http's sets of
// methods, and has optional methods of its own and below its Unwrap.
type flusherOnly struct{ *pipelinetest.HTTP1 }

func (f flusherOnly) Push(string, *http.PushOptions) error { return http.ErrNotSupported }

// wrapped hides everything except Unwrap: the most expensive writer to observe.
type wrapped struct{ w *pipelinetest.HTTP1 }

func (u wrapped) Header() http.Header         { return u.w.Header() }
func (u wrapped) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u wrapped) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u wrapped) Unwrap() http.ResponseWriter { return u.w }
func (u wrapped) Reset()                      { u.w.Reset() }

var writers = []struct {
	name   string
	w      resetter
	budget float64 // allocations of the default stack in addition to the bare handler
}{
	{"HTTP1", pipelinetest.NewHTTP1(), 6},
	{"HTTP2", pipelinetest.NewHTTP2(), 6},
	{"every-method", flusherOnly{pipelinetest.NewHTTP1()}, 26},
	{"unwrap-only", wrapped{pipelinetest.NewHTTP1()}, 26},
}

var bare = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(hello) })

var hello = []byte("hello")

// defaultStack is the stack of a typical first service.
func defaultStack(b *pipeline.Builder, log *slog.Logger) *pipeline.Builder {
	return b.Use(
		middleware.Recover(middleware.RecoverOptions{Logger: log}),
		middleware.RequestID(middleware.RequestIDOptions{}),
		middleware.ResponseTime,
		middleware.AccessLog(middleware.AccessLogOptions{Logger: log}),
	)
}

// observing is a component that registers one callback.
var observing = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	note := r.Method
	_ = res.OnStarting(func(http.Header, int) { _ = note })
	next.ServeHTTP(w, r)
})

func allocs(h http.Handler, w resetter) float64 {
	r := httptest.NewRequest(http.MethodGet, "/items?page=2", nil)
	return testing.AllocsPerRun(500, func() {
		w.Reset()
		h.ServeHTTP(w, r)
	})
}

func TestAllocationsOfTheStockStack(t *testing.T) {
	json := slog.New(slog.NewJSONHandler(io.Discard, nil))
	for _, tt := range writers {
		t.Run(tt.name, func(t *testing.T) {
			none := allocs(bare, tt.w)
			whole := defaultStack(pipeline.New(), json).Run(bare).MustBuild()
			got := allocs(whole, tt.w) - none
			t.Logf("%.0f allocations over the bare handler's %.0f", got, none)
			require.LessOrEqual(t, got, tt.budget)
		})
	}
}

func TestAllocationsOfFurtherObservers(t *testing.T) {
	json := slog.New(slog.NewJSONHandler(io.Discard, nil))
	w := pipelinetest.NewHTTP1()
	before := allocs(defaultStack(pipeline.New(), json).Run(bare).MustBuild(), w)
	b := defaultStack(pipeline.New(), json)
	for n := 1; n <= 12; n++ {
		b.Use(observing)
		now := allocs(b.Run(bare).MustBuild(), w)
		// The seventh callback grows the list to two dozen more: one further allocation.
		require.LessOrEqual(t, now, before+float64(n)+1, "%d of them", n)
		if n <= 4 {
			require.LessOrEqual(t, now, before+float64(n), "%d of them", n)
		}
		b = defaultStack(pipeline.New(), json)
		for range n {
			b.Use(observing)
		}
	}
}

func TestAllocationsOfAQuietLog(t *testing.T) {
	w := pipelinetest.NewHTTP1()
	none := allocs(bare, w)
	got := allocs(pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: slog.New(slog.DiscardHandler)})).Run(bare).MustBuild(), w) - none
	require.LessOrEqual(t, got, 2.0, "the response and the record's state")
}

package pipeline_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// mark registers callbacks that record their order in a header, and reports the state of
// the response when it is complete.
func mark(name string, done func(*pipeline.Response)) pipeline.Middleware {
	return pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		must(res.OnStarting(func(h http.Header, status int) {
			h.Add("X-Order", fmt.Sprintf("%s:%d", name, status))
		}))
		if done != nil {
			must(res.OnCompleted(func() { done(res) }))
		}
		next.ServeHTTP(w, r)
	})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestRegisteringTooLate(t *testing.T) {
	var starting, completed, inCallback, afterEnd, completedAfterEnd error
	var kept *pipeline.Response
	ran := 0
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		kept = res
		must(res.OnStarting(func(http.Header, int) { inCallback = res.OnStarting(func(http.Header, int) { ran++ }) }))
		require.False(t, res.Started())
		require.Zero(t, res.Status())
		next.ServeHTTP(w, r)
		require.True(t, res.Started())
		starting = res.OnStarting(func(http.Header, int) { ran++ })
		completed = res.OnCompleted(func() { ran += 10 })
	})(text("x"))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	afterEnd = kept.OnStarting(func(http.Header, int) { ran++ })
	completedAfterEnd = kept.OnCompleted(func() { ran++ })
	require.ErrorIs(t, starting, pipeline.ErrResponseStarted)
	require.NoError(t, inCallback, "it is run next")
	require.ErrorIs(t, afterEnd, pipeline.ErrResponseStarted)
	require.ErrorIs(t, completedAfterEnd, pipeline.ErrResponseCompleted)
	require.NoError(t, completed)
	require.Equal(t, 11, ran)
}

// Registering a nil callback panics in the call.
func TestCallbacksOfNilPanic(t *testing.T) {
	h := pipeline.Observe(func(_ http.ResponseWriter, _ *http.Request, res *pipeline.Response, _ http.Handler) {
		require.PanicsWithValue(t, "pipeline: OnStarting of nil", func() { _ = res.OnStarting(nil) })
		require.PanicsWithValue(t, "pipeline: OnCompleted of nil", func() { _ = res.OnCompleted(nil) })
	})(text("x"))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestOnCompletedRunsLastFirstAndAllOfThem(t *testing.T) {
	var order []string
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		must(res.OnCompleted(func() { order = append(order, "first") }))
		must(res.OnCompleted(func() { panic("in the middle") }))
		must(res.OnCompleted(func() { order = append(order, "last") }))
		next.ServeHTTP(w, r)
		order = append(order, "returned")
	})(text("x"))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, []string{"returned", "last", "first"}, order)
}

func TestPanics(t *testing.T) {
	run := func(h http.Handler) (v any, w *httptest.ResponseRecorder) {
		w = httptest.NewRecorder()
		defer func() { v = recover() }()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return nil, w
	}
	t.Run("an unhandled panic: OnCompleted runs, OnStarting does not", func(t *testing.T) {
		completed := false
		v, w := run(mark("a", func(res *pipeline.Response) {
			completed = true
			require.False(t, res.Started())
		})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") })))
		require.Equal(t, "oops", v)
		require.Empty(t, w.Header())
		require.True(t, completed)
	})
	t.Run("a callback panics: the rest are skipped, nothing has started", func(t *testing.T) {
		skipped := true
		h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
			must(res.OnStarting(func(http.Header, int) { skipped = false }))
			must(res.OnStarting(func(http.Header, int) { panic("in a callback") }))
			defer func() {
				require.Equal(t, "in a callback", recover())
				require.False(t, res.Started())
				must(res.OnStarting(func(h http.Header, status int) { h.Set("X-Again", fmt.Sprint(status)) }))
				w.WriteHeader(500)
			}()
			next.ServeHTTP(w, r)
		})(text("never seen"))
		v, w := run(h)
		require.Nil(t, v)
		require.True(t, skipped)
		require.Equal(t, 500, w.Code)
		require.Equal(t, "500", w.Header().Get("X-Again"))
		require.Empty(t, w.Body)
	})
	t.Run("a status that net/http refuses starts nothing", func(t *testing.T) {
		h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
			defer func() {
				require.NotNil(t, recover())
				require.False(t, res.Started())
				w.WriteHeader(500)
			}()
			next.ServeHTTP(w, r)
		})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(42) }))
		_, w := run(h)
		require.Equal(t, 500, w.Code)
	})
}

func TestFailedHijackStartsNothing(t *testing.T) {
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		must(res.OnStarting(func(h http.Header, _ int) { h.Set("X-Once", h.Get("X-Once")+"!") }))
		next.ServeHTTP(w, r)
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, ok := pipeline.ResponseFrom(r.Context())
		require.True(t, ok)
		_, _, err := w.(http.Hijacker).Hijack()
		require.Error(t, err)
		require.False(t, res.Started())
		require.False(t, res.Upgraded())
		http.Error(w, "no", http.StatusServiceUnavailable)
	}))
	w := failingHijacker{httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "!", w.Header().Get("X-Once"))
}

type failingHijacker struct{ *httptest.ResponseRecorder }

func (failingHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("not today")
}

func TestResponseFromNeverMakesOne(t *testing.T) {
	_, ok := pipeline.ResponseFrom(t.Context())
	require.False(t, ok)
}

// The observed request's context passes values, deadlines and cancellation through.
func TestContextPassesThrough(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, "v"), time.Now().Add(time.Hour))
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	mark("a", nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		require.Equal(t, "v", r.Context().Value(key{}))
		_, ok := r.Context().Deadline()
		require.True(t, ok)
		child, stop := context.WithCancel(r.Context())
		defer stop()
		require.NoError(t, child.Err())
		cancel()
		<-child.Done()
		require.ErrorIs(t, r.Context().Err(), context.Canceled)
	})).ServeHTTP(httptest.NewRecorder(), r)
}

// Components above can read the values that components below set.
func TestValuesForComponentsAbove(t *testing.T) {
	type key struct{}
	var route string
	var val, other any
	var flushed [2]bool
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
		route, val, other = res.Route(), res.Value(key{}), res.Value("another")
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, _ := pipeline.ResponseFrom(r.Context())
		res.SetRoute("GET /x")
		res.SetValue(key{}, 1)
		res.SetValue(key{}, 2)
		_, _ = io.WriteString(w, "x")
		flushed[0] = res.Flushed()
		must(http.NewResponseController(w).Flush())
		flushed[1] = res.Flushed()
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "GET /x", route)
	require.Equal(t, 2, val)
	require.Nil(t, other)
	require.Equal(t, [2]bool{false, true}, flushed)
}

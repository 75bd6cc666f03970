package pipeline_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

func TestOnStartingRegisteredByACallbackIsRunNext(t *testing.T) {
	var order []string
	add := func(name string) func(http.Header, int) {
		return func(h http.Header, _ int) {
			order = append(order, name)
			h.Add("X-Order", name)
		}
	}
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		must(res.OnStarting(add("first")))
		must(res.OnStarting(func(h http.Header, status int) {
			add("second")(h, status)
			must(res.OnStarting(add("by second, 1")))
			must(res.OnStarting(func(h http.Header, status int) {
				add("by second, 2")(h, status)
				must(res.OnStarting(add("nested")))
			}))
		}))
		must(res.OnStarting(add("third")))
		next.ServeHTTP(w, r)
		require.ErrorIs(t, res.OnStarting(add("late")), pipeline.ErrResponseStarted)
	})(text("x"))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "third, second, by second, 2, nested, by second, 1, first", strings.Join(order, ", "))
	require.Equal(t, order, w.Header()["X-Order"])
}

// A registration either fails or is run, also one from another goroutine.
func TestOnStartingConcurrently(t *testing.T) {
	for range 200 {
		var mu sync.Mutex
		ran, registered := 0, 0
		var wg sync.WaitGroup
		h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
			must(res.OnStarting(func(http.Header, int) {}))
			for range 4 {
				wg.Go(func() {
					for range 5 {
						if res.OnStarting(func(http.Header, int) { mu.Lock(); ran++; mu.Unlock() }) == nil {
							mu.Lock()
							registered++
							mu.Unlock()
						}
					}
				})
			}
			next.ServeHTTP(w, r)
		})(text("x"))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		wg.Wait()
		require.Equal(t, registered, ran)
	}
}

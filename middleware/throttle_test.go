package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// throttled is a service behind a Throttle whose requests run until they are released.
type throttledService struct {
	http.Handler
	began   chan string
	release chan struct{}

	mu      sync.Mutex
	running int
	most    int
}

func newThrottledService(opts middleware.ThrottleOptions) *throttledService {
	s := &throttledService{began: make(chan string, 100), release: make(chan struct{})}
	s.Handler = pipeline.New().
		Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), middleware.Throttle(opts)).
		RunFunc(func(_ http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.running++
			s.most = max(s.most, s.running)
			s.mu.Unlock()
			s.began <- r.URL.Path
			<-s.release
			s.mu.Lock()
			s.running--
			s.mu.Unlock()
			if r.URL.Path == "/panic" {
				panic("oops")
			}
		}).MustBuild()
	return s
}

// start begins a request and returns its answer's recorder, to be read after it has ended.
func (s *throttledService) start(ctx context.Context, wg *sync.WaitGroup, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	wg.Go(func() { s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil).WithContext(ctx)) })
	synctest.Wait()
	return w
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newThrottledService(middleware.ThrottleOptions{Limit: 2, Queue: 3, MaxWait: time.Minute, RetryAfter: 1500 * time.Millisecond})
		var wg sync.WaitGroup
		leaving, leave := context.WithCancel(t.Context())
		first := s.start(t.Context(), &wg, "/1")
		s.start(t.Context(), &wg, "/panic")
		third := s.start(t.Context(), &wg, "/3")
		gone := s.start(leaving, &wg, "/gone")
		fifth := s.start(t.Context(), &wg, "/5")
		refused := s.start(t.Context(), &wg, "/6")
		require.Equal(t, http.StatusServiceUnavailable, refused.Code)
		require.Equal(t, "2", refused.Header().Get("Retry-After"))
		require.Len(t, s.began, 2)

		leave()
		synctest.Wait()
		require.Equal(t, 499, gone.Code, "a client that leaves gives up its place")
		seventh := s.start(t.Context(), &wg, "/7")
		require.Equal(t, http.StatusServiceUnavailable, s.start(t.Context(), &wg, "/8").Code)

		for range 2 {
			s.release <- struct{}{}
			synctest.Wait()
		}
		require.Equal(t, []string{"/1", "/panic", "/3", "/5"}, received(s.began), "the oldest first, and a panic gives its place back")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, seventh.Code, "it has waited for too long")
		close(s.release)
		wg.Wait()
		for _, w := range []*httptest.ResponseRecorder{first, third, fifth} {
			require.Equal(t, http.StatusOK, w.Code)
		}
		require.Equal(t, 2, s.most)
	})
}

func received(began chan string) (paths []string) {
	for len(began) > 0 {
		paths = append(paths, <-began)
	}
	return paths
}

func TestThrottleByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newThrottledService(middleware.ThrottleOptions{Limit: 1, Key: func(r *http.Request) string { return r.URL.Query().Get("user") }})
		var wg sync.WaitGroup
		s.start(t.Context(), &wg, "/?user=a")
		s.start(t.Context(), &wg, "/?user=b")
		s.start(t.Context(), &wg, "/")
		s.start(t.Context(), &wg, "/")
		require.Len(t, s.began, 4)
		require.Equal(t, http.StatusTooManyRequests, s.start(t.Context(), &wg, "/?user=a").Code)
		for range 4 {
			s.release <- struct{}{}
			synctest.Wait()
		}
		s.start(t.Context(), &wg, "/?user=a")
		close(s.release)
		wg.Wait()
		require.Len(t, s.began, 5)
	})
}

// However requests begin, wait, end and leave, the limit holds and no place is lost.
func TestThrottleLosesNoPlace(t *testing.T) {
	for _, key := range []func(*http.Request) string{nil, func(r *http.Request) string { return r.URL.Path }} {
		t.Run(fmt.Sprintf("key=%v", key != nil), func(t *testing.T) {
			s := newThrottledService(middleware.ThrottleOptions{Limit: 3, Queue: 5, Key: key})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case s.release <- struct{}{}:
					case <-t.Context().Done():
						return
					}
				}
			}()
			var wg sync.WaitGroup
			for i := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%3 == 0 {
					go cancel()
				}
				wg.Go(func() {
					defer cancel()
					s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/k", nil).WithContext(ctx))
				})
				if i%10 == 0 {
					received(s.began)
				}
				if i%20 == 19 {
					wg.Wait()
					received(s.began)
				}
			}
			wg.Wait()
			require.LessOrEqual(t, s.most, 3)
			w := httptest.NewRecorder()
			received(s.began)
			s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/k", nil))
			require.Equal(t, http.StatusOK, w.Code, "all places are free again")
		})
	}
}

func TestThrottleOptions(t *testing.T) {
	_, err := pipeline.New().Use(middleware.Throttle(middleware.ThrottleOptions{Queue: -1, MaxWait: time.Second * -1, RetryAfter: -1, Status: 200})).Build()
	require.ErrorContains(t, err, "Limit is 0: set it to the number of requests")
	require.ErrorContains(t, err, "Queue is -1")
	require.ErrorContains(t, err, "MaxWait is -1s")
	require.ErrorContains(t, err, "RetryAfter is -1ns")
	require.ErrorContains(t, err, "Status is 200")
	_, err = pipeline.New().Use(middleware.Throttle(middleware.ThrottleOptions{Limit: 1, MaxWait: time.Second})).Build()
	require.ErrorContains(t, err, "MaxWait is 1s with a Queue of 0")
}

func TestThrottleAllocatesNothingBelowTheLimit(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	h := middleware.Throttle(middleware.ThrottleOptions{Limit: 1})(ok)
	require.Zero(t, testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }))
}

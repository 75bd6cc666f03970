package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// quiet is a Recover without a log; it answers failures.
func quiet() pipeline.Middleware {
	return middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})
}

// awaitContextEnd waits until its context ends, and writes nothing.
func awaitContextEnd(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// inBubble runs a test in a bubble with a fake clock.
func inBubble(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) }

func serveHandler(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func request(t *testing.T) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context())
	r.Header.Set("Accept", "text/plain")
	return r
}

func TestTimeout(t *testing.T) {
	sleep := func(d time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(d):
				_, _ = io.WriteString(w, "done")
			case <-r.Context().Done():
			}
		}
	}
	for _, tt := range []struct {
		name   string
		h      http.HandlerFunc
		status int
		body   string
		took   time.Duration
	}{
		{"in time", sleep(9 * time.Second), 200, "done", 9 * time.Second},
		{"too late", sleep(11 * time.Second), 504, "504 Gateway Timeout\n", 10 * time.Second},
		{"ignores its context, and answers after all", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Minute)
			_, _ = io.WriteString(w, "late")
		}, 200, "late", time.Minute},
		{"ignores its context, and answers nothing", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, 504, "504 Gateway Timeout\n", time.Minute},
		{"has an answer of its own", func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			http.Error(w, "try the other one", http.StatusServiceUnavailable)
		}, 503, "try the other one\n", 10 * time.Second},
		{"has started", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half")
			<-r.Context().Done()
		}, 200, "half", 10 * time.Second},
		{"empty and in time", func(http.ResponseWriter, *http.Request) {}, 200, "", 0},
		{"panics with the context's error", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(r.Context().Err())
		}, 504, "504 Gateway Timeout\n", 10 * time.Second},
		{"panics with the cause", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(fmt.Errorf("query: %w", context.Cause(r.Context())))
		}, 504, "504 Gateway Timeout\n", 10 * time.Second},
		{"fails with it", func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			middleware.Fail(w, r, r.Context().Err())
		}, 504, "504 Gateway Timeout\n", 10 * time.Second},
		{"panics with something else", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic("oops")
		}, 500, "500 Internal Server Error\n", 10 * time.Second},
	} {
		for name, h := range map[string]http.Handler{
			"inside Recover":  pipeline.New().Use(quiet(), middleware.Timeout(10*time.Second)).Run(tt.h).MustBuild(),
			"outside Recover": pipeline.New().Use(middleware.Timeout(10*time.Second), quiet()).Run(tt.h).MustBuild(),
		} {
			if name == "outside Recover" && tt.status == 504 {
				h = quiet()(h) // the Recover for the 504 that Timeout answers
			}
			t.Run(tt.name+", "+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					start := time.Now()
					w := serveHandler(h, request(t))
					require.Equal(t, tt.took, time.Since(start))
					require.Equal(t, tt.status, w.Code)
					require.Equal(t, tt.body, w.Body.String())
				})
			})
		}
	}
}

// The timeout as handlers see it, in the request's context and in derived ones.
func TestTimeoutContext(t *testing.T) {
	type key struct{}
	derive := map[string]func(context.Context) (context.Context, context.CancelFunc){
		"itself":     func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
		"WithCancel": context.WithCancel,
		"WithValue": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithValue(ctx, key{}, 1), func() {}
		},
		"below WithValue": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithCancel(context.WithValue(ctx, key{}, 1))
		},
		"a later deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Hour)
		},
	}
	for name, derived := range derive {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				start := time.Now()
				h := quiet()(middleware.Timeout(10 * time.Second)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					ctx, cancel := derived(r.Context())
					defer cancel()
					deadline, ok := ctx.Deadline()
					require.True(t, ok)
					require.Equal(t, start.Add(10*time.Second), deadline)
					require.NoError(t, ctx.Err())
					require.NoError(t, context.Cause(ctx))
					ran := make(chan struct{})
					context.AfterFunc(ctx, func() { close(ran) })
					<-ctx.Done()
					<-ran
					require.Equal(t, 10*time.Second, time.Since(start))
					require.Equal(t, context.DeadlineExceeded, ctx.Err())
					cause := context.Cause(ctx)
					require.ErrorIs(t, cause, middleware.ErrTimeout)
					require.ErrorIs(t, cause, context.DeadlineExceeded)
					require.EqualError(t, cause, "middleware: the request was not answered within 10s")
					var timeout interface{ Timeout() bool }
					require.ErrorAs(t, cause, &timeout)
					require.True(t, timeout.Timeout())
					late, cancelLate := context.WithCancel(r.Context())
					defer cancelLate()
					require.ErrorIs(t, context.Cause(late), middleware.ErrTimeout, "one that is derived too late")
				})))
				require.Equal(t, 504, serveHandler(h, request(t)).Code)
			})
		})
	}
}

// A client that leaves is reported to the handler as before, and is not a timeout.
func TestTimeoutPassesCancellationOn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		h := middleware.Timeout(10 * time.Second)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			child, stop := context.WithCancel(r.Context())
			defer stop()
			time.AfterFunc(time.Second, func() { cancel(gone) })
			<-child.Done()
			require.Equal(t, context.Canceled, r.Context().Err())
			require.Equal(t, gone, context.Cause(r.Context()))
			require.Equal(t, gone, context.Cause(child))
			require.True(t, middleware.DisableTimeout(r))
		}))
		w := serveHandler(h, request(t).WithContext(ctx))
		require.Equal(t, 200, w.Code)
	})
}

// After the handlers have returned no timer or goroutine remains, and a context that they
// kept is cancelled like net/http's own.
func TestTimeoutEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var left context.Context
		h := middleware.Timeout(10 * time.Second)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { left = r.Context() }))
		serveHandler(h, request(t))
		require.Equal(t, context.Canceled, left.Err())
		time.Sleep(time.Minute)
		require.Equal(t, context.Canceled, context.Cause(left))
		_, ok := left.Deadline()
		require.False(t, ok)
	})
}

func TestTimeoutStepsAside(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(http.ResponseWriter, *http.Request)
	}{
		{"flushed", func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }},
		{"a stream of events that has started", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "Text/Event-Stream; charset=utf-8")
			w.WriteHeader(200)
		}},
		{"an upgrade", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }},
		{"switched off", func(_ http.ResponseWriter, r *http.Request) { require.True(t, middleware.DisableTimeout(r)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := quiet()(middleware.Timeout(10 * time.Second)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(5 * time.Second)
					tt.begin(w, r)
					_, ok := r.Context().Deadline()
					require.False(t, ok, "no deadline any more")
					ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
					defer cancel()
					time.Sleep(30 * time.Second)
					require.NoError(t, r.Context().Err())
					<-ctx.Done()
					require.NotErrorIs(t, context.Cause(ctx), middleware.ErrTimeout)
					require.Equal(t, context.DeadlineExceeded, ctx.Err(), "a later deadline of its own holds")
					require.NoError(t, r.Context().Err())
				})))
				serveHandler(h, request(t))
			})
		})
	}
}

func TestDisableTimeoutTooLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := quiet()(middleware.Timeout(time.Second)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			require.False(t, middleware.DisableTimeout(r))
		})))
		require.Equal(t, 504, serveHandler(h, request(t)).Code)
	})
	require.True(t, middleware.DisableTimeout(httptest.NewRequest("GET", "/", nil)), "without a Timeout")
}

// The innermost applies, from the point where it is reached.
func TestTimeoutNested(t *testing.T) {
	for _, tt := range []struct {
		name         string
		outer, inner time.Duration
		took         time.Duration
	}{
		{"longer inside", 10 * time.Second, time.Minute, 65 * time.Second},
		{"shorter inside", 10 * time.Second, time.Second, 6 * time.Second},
		{"the outer is over first", time.Second, time.Minute, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := pipeline.New().Use(quiet(), middleware.Timeout(tt.outer)).
					UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
						time.Sleep(5 * time.Second)
						next.ServeHTTP(w, r)
					}).Use(middleware.Timeout(tt.inner)).RunFunc(awaitContextEnd).MustBuild()
				start := time.Now()
				require.Equal(t, 504, serveHandler(h, request(t)).Code)
				require.Equal(t, tt.took, time.Since(start))
			})
		})
	}
}

func TestTimeoutProblem(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var l logs
		h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{
			Logger: l.logger(),
			Problem: func(_ *http.Request, err error) *middleware.Problem {
				if errors.Is(err, middleware.ErrTimeout) {
					return &middleware.Problem{Status: 503, Header: http.Header{"Retry-After": {"5"}}}
				}
				return nil
			},
		}), middleware.Timeout(time.Second)).RunFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/csv") // for a body that it never wrote
			<-r.Context().Done()
		}).MustBuild()
		w := serveHandler(h, request(t))
		require.Equal(t, 503, w.Code)
		require.Equal(t, "5", w.Header().Get("Retry-After"))
		require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		require.Equal(t, "middleware: the request was not answered within 1s", l.records(t)[0]["err"])
	})
}

// Output in a buffer above counts as written.
func TestTimeoutBelowABuffer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		buffer := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				held := httptest.NewRecorder()
				next.ServeHTTP(held, r)
				w.WriteHeader(held.Code)
				_, _ = w.Write(held.Body.Bytes())
			})
		}
		h := pipeline.New().Use(quiet(), buffer, middleware.Timeout(time.Second)).RunFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "an answer")
			<-r.Context().Done()
		}).MustBuild()
		w := serveHandler(h, request(t))
		require.Equal(t, 200, w.Code)
		require.Equal(t, "an answer", w.Body.String())
	})
}

func TestTimeoutOverTheWire(t *testing.T) {
	access := func(l *logs) pipeline.Middleware {
		return middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})
	}
	timeout := middleware.Timeout(20 * time.Millisecond)
	for name, stack := range map[string]func(*logs) []pipeline.Middleware{
		"inside AccessLog":  func(l *logs) []pipeline.Middleware { return []pipeline.Middleware{access(l), quiet(), timeout} },
		"outside AccessLog": func(l *logs) []pipeline.Middleware { return []pipeline.Middleware{quiet(), timeout, access(l)} },
		"outermost":         func(l *logs) []pipeline.Middleware { return []pipeline.Middleware{timeout, access(l), quiet()} },
	} {
		t.Run(name, func(t *testing.T) {
			var l logs
			h := pipeline.New().Use(stack(&l)...).RunFunc(awaitContextEnd).MustBuild()
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/", "Accept", "application/json")
				require.NoError(t, err)
				require.Equal(t, 504, res.StatusCode)
				require.JSONEq(t, `{"type":"about:blank","title":"Gateway Timeout","status":504}`, body)
			})
			records := l.records(t)
			require.Len(t, records, 2)
			for _, rec := range records {
				require.EqualValues(t, 504, group(rec, "response")["status"], "not 499: the client was there")
				require.Nil(t, group(rec, "response")["aborted"])
			}
		})
	}
}

// A WebSocket outlives the timeout: the manager's handler returns immediately, and one that
// stays until the socket ends is an upgrade.
func TestTimeoutLeavesWebSocketsOpen(t *testing.T) {
	for _, stays := range []bool{false, true} {
		t.Run(fmt.Sprintf("stays=%v", stays), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const d = 30 * time.Second
				closed, returned := make(chan struct{}), make(chan error, 1)
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
					OnClose:   func(*wsmanager.Conn, error) { close(closed) },
				}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler), Driver: wsmanager.DriverGoroutine})
				h := pipeline.New().Use(quiet(), middleware.Timeout(d)).RunFunc(func(w http.ResponseWriter, r *http.Request) {
					m.ServeHTTP(w, r)
					if stays {
						<-closed
					}
					returned <- r.Context().Err()
				}).MustBuild()
				c := wstest.DialHandler(t, h, "/", nil, wstest.Memory{Patience: time.Hour})
				time.Sleep(d + time.Second)
				c.SendText("still here")
				c.ExpectText("still here")
				c.SendClose(1000, "")
				c.ExpectClose(1000)
				require.NoError(t, <-returned)
				require.NoError(t, m.Shutdown(t.Context()))
			})
		})
	}
}

func TestTimeoutConfig(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second} {
		_, err := pipeline.New().Use(middleware.Timeout(d)).Build()
		var config *pipeline.ConfigError
		require.ErrorAs(t, err, &config)
		require.Equal(t, "middleware.Timeout", config.Component)
	}
}

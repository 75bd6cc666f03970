package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// all returns a logger that collects records of every level.
func (l *logs) all() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// handlerPanicking panics with v; handlerReturning returns err; failing calls Fail. All three get the same
// answer.
func handlerPanicking(v any) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(v) })
}

func handlerReturning(err error) http.Handler {
	return middleware.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return err })
}

func failing(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { middleware.Fail(w, r, err) })
}

type selfPanicking struct{}

func (selfPanicking) Error() string  { panic("in Error") }
func (selfPanicking) Unwrap() error  { panic("in Unwrap") }
func (selfPanicking) Is(error) bool  { panic("in Is") }
func (selfPanicking) As(any) bool    { panic("in As") }
func (selfPanicking) String() string { panic("in String") }

var errTeapot = errors.New("I am a teapot")

func mapTeapot(_ *http.Request, err error) *middleware.Problem {
	if errors.Is(err, errTeapot) {
		return &middleware.Problem{Status: 418, Detail: "short and stout", Header: http.Header{"X-Pot": {"tea"}}}
	}
	return nil
}

func TestFailuresAreMapped(t *testing.T) {
	gone := &middleware.Problem{Status: 410, Detail: "it was sold", Err: errors.New("secret")}
	for _, tt := range []struct {
		name   string
		err    error
		status int
		body   string
		level  string
	}{
		{"any error", errors.New("secret"), 500, "500 Internal Server Error\n", "ERROR"},
		{"a problem", gone, 410, "410 Gone\nit was sold\n", "INFO"},
		{"a wrapped problem", fmt.Errorf("secret: %w", gone), 410, "410 Gone\nit was sold\n", "INFO"},
		{"a joined problem", errors.Join(errors.New("secret"), gone), 410, "410 Gone\nit was sold\n", "INFO"},
		{"a problem of the server", &middleware.Problem{Status: 503, Header: http.Header{"Retry-After": {"5"}}}, 503, "503 Service Unavailable\n", "ERROR"},
		{"a problem that is nil", fmt.Errorf("secret: %w", (*middleware.Problem)(nil)), 500, "500 Internal Server Error\n", "ERROR"},
		{"a body too large", fmt.Errorf("secret: %w", &http.MaxBytesError{Limit: 5}), 413, "413 Request Entity Too Large\n", "INFO"},
		{"a deadline", fmt.Errorf("secret: %w", context.DeadlineExceeded), 504, "504 Gateway Timeout\n", "ERROR"},
		{"cancelled, with the client still there", context.Canceled, 500, "500 Internal Server Error\n", "ERROR"},
		{"an error of the application's", fmt.Errorf("secret: %w", errTeapot), 418, "418 I'm a teapot\nshort and stout\n", "INFO"},
		{"an error whose methods panic", selfPanicking{}, 500, "500 Internal Server Error\n", "ERROR"},
	} {
		for way, h := range map[string]http.Handler{"panic": handlerPanicking(tt.err), "HandlerFunc": handlerReturning(tt.err), "Fail": failing(tt.err)} {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				l := &logs{}
				rec := middleware.Recover(middleware.RecoverOptions{Logger: l.all(), Problem: mapTeapot})
				for place, h := range map[string]http.Handler{
					"outermost":      rec(h),
					"below observer": middleware.ResponseTime(rec(h)),
					"above observer": rec(middleware.ResponseTime(h)),
					"above a buffer": rec(http.TimeoutHandler(h, time.Minute, "")),
					"below a buffer": http.TimeoutHandler(rec(h), time.Minute, ""),
				} {
					t.Run(place, func(t *testing.T) {
						overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
							l.buf.Reset()
							res, body, err := get(t, srv, "/x?token=hunter2")
							require.NoError(t, err)
							require.Equal(t, tt.status, res.StatusCode)
							require.Equal(t, tt.body, body)
							require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
							if tt.status == 418 {
								require.Equal(t, "tea", res.Header.Get("X-Pot"))
							}
							if tt.status == 503 {
								require.Equal(t, "5", res.Header.Get("Retry-After"))
							}
							srv.Close()
							records := l.records(t)
							if (tt.err == selfPanicking{}) {
								require.Len(t, records, 2, "the failure, and the one of looking into it")
							} else {
								require.Len(t, records, 1)
							}
							rec := records[0]
							require.Equal(t, tt.level, rec["level"])
							require.Equal(t, "/x", group(rec, "request")["path"])
							require.EqualValues(t, tt.status, group(rec, "response")["status"])
							require.Equal(t, way == "panic" && tt.level == "ERROR", rec["stack"] != nil)
							require.NotContains(t, l.buf.String(), "hunter2")
						})
					})
				}
			})
		}
	}
}

func TestPanicsOfEveryKind(t *testing.T) {
	var missing *http.Request
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		says string
	}{
		"nil":                    {func(http.ResponseWriter, *http.Request) { panic(nil) }, "panic called with nil argument"},
		"a text":                 {func(http.ResponseWriter, *http.Request) { panic("oops") }, "oops"},
		"a number":               {func(http.ResponseWriter, *http.Request) { panic(42) }, "42"},
		"a runtime error":        {func(http.ResponseWriter, *http.Request) { _ = missing.URL }, "nil pointer dereference"},
		"a Stringer that panics": {func(http.ResponseWriter, *http.Request) { panic(struct{ selfPanicking }{}) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			var got error
			h := middleware.Recover(middleware.RecoverOptions{Logger: l.all(), Problem: func(_ *http.Request, err error) *middleware.Problem {
				got = err
				return nil
			}})(tt.h)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			require.Equal(t, 500, w.Code)
			require.Equal(t, `{"type":"about:blank","title":"Internal Server Error","status":500}`+"\n", w.Body.String())
			require.Contains(t, l.buf.String(), tt.says)
			require.Contains(t, l.records(t)[0]["stack"], "TestPanicsOfEveryKind")
			var p *middleware.PanicError
			if name != "a Stringer that panics" {
				require.ErrorAs(t, got, &p)
				require.Contains(t, p.Error(), "panic: ")
				var rt runtime.Error
				require.Equal(t, name == "nil" || name == "a runtime error", errors.As(got, &rt))
			}
		})
	}
}

// A panic that was recovered on another goroutine keeps its stack.
func TestPanicErrorIsPassedOn(t *testing.T) {
	l := &logs{}
	h := middleware.Recover(middleware.RecoverOptions{Logger: l.all()})(handlerPanicking(&middleware.PanicError{Value: "there", Stack: []byte("the stack of the other")}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	rec := l.records(t)[0]
	require.Equal(t, "there", rec["panic"])
	require.Equal(t, "the stack of the other", rec["stack"])
}

func TestAbortPassesAsItIs(t *testing.T) {
	wrapped := fmt.Errorf("enough: %w", http.ErrAbortHandler)
	for name, h := range map[string]http.Handler{
		"panic": handlerPanicking(wrapped), "HandlerFunc": handlerReturning(wrapped), "Fail": failing(wrapped),
		"in Problem": middleware.Recover(middleware.RecoverOptions{Problem: func(*http.Request, error) *middleware.Problem { panic(wrapped) }, Logger: silent})(handlerPanicking("x")),
		"in Handler": middleware.Recover(middleware.RecoverOptions{
			Handler: func(http.ResponseWriter, *http.Request, *middleware.Problem, error) { panic(wrapped) }, Logger: silent,
		})(handlerPanicking("x")),
	} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			h := middleware.Recover(middleware.RecoverOptions{Logger: l.all()})(h)
			require.PanicsWithValue(t, http.ErrAbortHandler, func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			})
			require.Empty(t, l.records(t))
		})
	}
}

// After a failure behind the start of the response, or with output in a buffer, the
// connection is aborted.
func TestFailureAfterTheStart(t *testing.T) {
	half := func(flush bool) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "half of it")
			if flush {
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
	ways := map[string]func(func(http.ResponseWriter)) http.Handler{
		"panic": func(begin func(http.ResponseWriter)) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { begin(w); panic(errTeapot) })
		},
		"HandlerFunc": func(begin func(http.ResponseWriter)) http.Handler {
			return middleware.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error { begin(w); return errTeapot })
		},
		"Fail": func(begin func(http.ResponseWriter)) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { begin(w); middleware.Fail(w, r, errTeapot) })
		},
	}
	for way, h := range ways {
		for _, place := range []string{"outermost", "inner", "none", "below a buffer"} {
			if place == "none" && way != "HandlerFunc" {
				continue // net/http logs the panic itself; Fail can't know
			}
			if place == "below a buffer" && way == "panic" {
				continue // the buffer is dropped with the panic: there is nothing to abort
			}
			t.Run(way+"/"+place, func(t *testing.T) {
				l := &logs{}
				rec := middleware.Recover(middleware.RecoverOptions{Logger: l.all(), Problem: mapTeapot})
				var whole http.Handler
				switch place {
				case "outermost":
					whole = rec(h(half(true)))
				case "inner":
					whole = middleware.ResponseTime(rec(h(half(true))))
				case "none":
					whole = h(half(true))
					old := slog.Default()
					slog.SetDefault(l.all())
					defer slog.SetDefault(old)
				case "below a buffer":
					// Fail alone can't detect output in a foreign buffer; a Recover below
					// it can.
					if way == "Fail" {
						whole = http.TimeoutHandler(rec(h(half(false))), time.Minute, "")
					} else {
						whole = rec(http.TimeoutHandler(h(half(false)), time.Minute, ""))
					}
				}
				if place == "below a buffer" && way == "Fail" {
					whole = middleware.ResponseTime(whole)
				}
				overBothProtocols(t, whole, func(t *testing.T, srv *httptest.Server) {
					_, _, err := get(t, srv, "/")
					require.Error(t, err, "a broken response, not a short one")
					srv.Close()
				})
				for _, rec := range l.records(t) {
					require.Equal(t, "ERROR", rec["level"], "a broken answer is an error of the server")
					require.Equal(t, true, group(rec, "response")["started"])
				}
				require.Len(t, l.records(t), 2)
			})
		}
	}
}

func TestSecondFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		opts    middleware.RecoverOptions
		body    string
		aborted bool
		records int
	}{
		"Problem panics": {middleware.RecoverOptions{Problem: func(*http.Request, error) *middleware.Problem { panic("second") }},
			"410 Gone\n", false, 2},
		"Handler panics before it writes": {middleware.RecoverOptions{Handler: func(w http.ResponseWriter, _ *http.Request, _ *middleware.Problem, _ error) {
			w.Header().Set("Content-Encoding", "gzip")
			panic("second")
		}}, "410 Gone\n", false, 2},
		"Handler panics in the middle": {middleware.RecoverOptions{Handler: func(w http.ResponseWriter, _ *http.Request, _ *middleware.Problem, _ error) {
			_, _ = io.WriteString(w, "half")
			panic("second")
		}}, "", true, 2},
		"Handler writes nothing": {middleware.RecoverOptions{Handler: func(http.ResponseWriter, *http.Request, *middleware.Problem, error) {}}, "", false, 1},
	} {
		for way, h := range map[string]http.Handler{"panic": handlerPanicking(&middleware.Problem{Status: 410}), "error": handlerReturning(&middleware.Problem{Status: 410})} {
			t.Run(name+"/"+way, func(t *testing.T) {
				l := &logs{}
				tt.opts.Logger = l.all()
				overBothProtocols(t, middleware.Recover(tt.opts)(h), func(t *testing.T, srv *httptest.Server) {
					l.buf.Reset()
					res, body, err := get(t, srv, "/")
					srv.Close()
					require.Len(t, l.records(t), tt.records)
					if tt.records == 2 {
						require.Equal(t, "second", l.records(t)[1]["panic"])
					}
					if tt.aborted {
						require.Error(t, err)
						return
					}
					require.NoError(t, err)
					require.Equal(t, 410, res.StatusCode)
					require.Equal(t, tt.body, body)
					require.Empty(t, res.Header.Get("Content-Encoding"))
				})
			})
		}
	}
}

// Headers that are set just before the answer is sent stay, whatever the answer is.
func TestRecoverKeepsHeadersOfOnStarting(t *testing.T) {
	stamp := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		if err := res.OnStarting(func(h http.Header, status int) {
			h.Set("X-Status", fmt.Sprint(status))
			h.Add("Set-Cookie", "a=b")
			h.Set("Cache-Control", h.Get("Cache-Control")+", private")
		}); err != nil {
			panic(err)
		}
		next.ServeHTTP(w, r)
	})
	rec := middleware.Recover(middleware.RecoverOptions{Logger: silent})
	for name, h := range map[string]http.Handler{"inside": rec(stamp(handlerPanicking("x"))), "outside": stamp(rec(handlerPanicking("x")))} {
		t.Run(name, func(t *testing.T) {
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, _, err := get(t, srv, "/")
				require.NoError(t, err)
				require.Equal(t, "500", res.Header.Get("X-Status"))
				require.Equal(t, "a=b", res.Header.Get("Set-Cookie"))
				require.Equal(t, "no-store, private", res.Header.Get("Cache-Control"))
			})
		})
	}
}

// Only the innermost Recover answers.
func TestRecoverInRecover(t *testing.T) {
	by := func(name string) pipeline.Middleware {
		return middleware.Recover(middleware.RecoverOptions{Logger: silent, Handler: func(w http.ResponseWriter, _ *http.Request, p *middleware.Problem, _ error) {
			http.Error(w, name, p.Status)
		}})
	}
	for way, h := range map[string]http.Handler{"panic": handlerPanicking(errTeapot), "HandlerFunc": handlerReturning(errTeapot), "Fail": failing(errTeapot)} {
		t.Run(way, func(t *testing.T) {
			whole := by("outer")(middleware.ResponseTime(by("middle")(by("inner")(h))))
			overBothProtocols(t, whole, func(t *testing.T, srv *httptest.Server) {
				_, body, err := get(t, srv, "/")
				require.NoError(t, err)
				require.Equal(t, "inner\n", body)
			})
		})
	}
	// A failure of a component in between, on the way back, is answered by the outer
	// Recover.
	h := by("outer")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by("inner")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		middleware.Fail(w, r, errTeapot)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "outer\n", w.Body.String())
}

func TestFailWithoutRecover(t *testing.T) {
	l := &logs{}
	old := slog.Default()
	slog.SetDefault(l.all())
	defer slog.SetDefault(old)
	for way, h := range map[string]http.Handler{
		"HandlerFunc": handlerReturning(&middleware.Problem{Status: 409}), "Fail": failing(&middleware.Problem{Status: 409}),
		"Fail, observed": middleware.ResponseTime(failing(&middleware.Problem{Status: 409})),
	} {
		t.Run(way, func(t *testing.T) {
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				l.buf.Reset()
				res, body, err := get(t, srv, "/", "Accept", "application/json")
				require.NoError(t, err)
				require.Equal(t, 409, res.StatusCode)
				require.JSONEq(t, `{"type":"about:blank","title":"Conflict","status":409}`, body)
				srv.Close()
				require.Len(t, l.records(t), 1)
				require.Equal(t, "a request was refused", l.records(t)[0]["msg"])
			})
		})
	}
}

func TestFailWithNil(t *testing.T) {
	l := &logs{}
	w := httptest.NewRecorder()
	middleware.Recover(middleware.RecoverOptions{Logger: l.all()})(failing(nil)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 500, w.Code)
	require.Contains(t, l.records(t)[0]["err"], "nil error")
}

func TestHandlerFuncThatSucceeds(t *testing.T) {
	h := middleware.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.Copy(w, strings.NewReader("fine"))
		return err
	})
	overBothProtocols(t, middleware.Recover(middleware.RecoverOptions{})(h), func(t *testing.T, srv *httptest.Server) {
		res, body, err := get(t, srv, "/")
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "fine", body)
	})
}

// http.MaxBytesReader's own error; the connection is closed afterwards.
func TestBodyTooLarge(t *testing.T) {
	h := middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 5))
		return err
	})
	overBothProtocols(t, middleware.Recover(middleware.RecoverOptions{Logger: silent})(h), func(t *testing.T, srv *httptest.Server) {
		res, err := srv.Client().Post(srv.URL, "text/plain", strings.NewReader("too long"))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 413, res.StatusCode)
	})
}

// Recover keeps a Connection: close that a handler has set among other options, as a refused
// upgrade does before it panics. It drops the options of the answer that is lost.
func TestRecoverKeepsConnectionClose(t *testing.T) {
	h := middleware.Recover(middleware.RecoverOptions{Logger: silent})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Connection"] = []string{"close", "Upgrade"}
		w.Header().Set("Upgrade", "websocket")
		panic("at the disco")
	}))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 500, rec.Code)
	require.Equal(t, []string{"close"}, rec.Header()["Connection"])
	require.NotContains(t, rec.Header(), "Upgrade")
}

var silentLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

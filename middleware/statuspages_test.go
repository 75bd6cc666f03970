package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// life records the response as an observing component sees it.
type life struct {
	starts []int
	bytes  int64
}

func (l *life) observe(next http.Handler) http.Handler {
	return pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		*l = life{}
		if err := res.OnStarting(func(h http.Header, status int) {
			l.starts = append(l.starts, status)
			h.Set("X-Seen", fmt.Sprint(status))
		}); err != nil {
			panic(err)
		}
		next.ServeHTTP(w, r)
		l.bytes = res.BytesWritten()
	})(next)
}

func answer(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		if body != "" {
			_, _ = io.WriteString(w, body)
		}
	}
}

const missingJSON = `{"type":"about:blank","title":"Not Found","status":404}` + "\n"

func TestStatusPages(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(http.ResponseWriter, *http.Request) {})
	for _, tt := range []struct {
		name   string
		h      http.HandlerFunc
		status int
		body   string    // "" if the answer must not change
		header [2]string // one that must be set anyway
	}{
		{"no body", answer(404, ""), 404, missingJSON, [2]string{}},
		{"http.NotFound", http.NotFound, 404, missingJSON, [2]string{}},
		{"http.Error with the status' text", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, http.StatusText(404), 404) }, 404, missingJSON, [2]string{}},
		{"the status' text", answer(404, "Not Found"), 404, missingJSON, [2]string{}},
		{"code and text", answer(404, "404 Not Found\n"), 404, missingJSON, [2]string{}},
		{"in pieces", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			for _, s := range []string{"404 ", "", "page not", " found", "\n"} {
				_, _ = w.Write([]byte(s))
			}
		}, 404, missingJSON, [2]string{}},
		{"by ReadFrom", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("Not Found\n")})
		}, 404, missingJSON, [2]string{}},
		{"ServeMux's 405", mux.ServeHTTP, 405, `{"type":"about:blank","title":"Method Not Allowed","status":405}` + "\n", [2]string{"Allow", "POST"}},
		{"other headers stay", answer(503, "", "Retry-After", "5"), 503, `{"type":"about:blank","title":"Service Unavailable","status":503}` + "\n", [2]string{"Retry-After", "5"}},
		{"an upgrade that is required", answer(426, "", "Upgrade", "websocket"), 426, `{"type":"about:blank","title":"Upgrade Required","status":426}` + "\n", [2]string{}},
		{"a challenge", answer(401, "Unauthorized\n", "WWW-Authenticate", "Basic"), 401, `{"type":"about:blank","title":"Unauthorized","status":401}` + "\n", [2]string{"WWW-Authenticate", "Basic"}},
		{"a length that fits", answer(404, "Not Found\n", "Content-Length", "10"), 404, missingJSON, [2]string{}},
		{"length 0", answer(404, "", "Content-Length", "0"), 404, "", [2]string{"Content-Length", "0"}},
		{"a status without a text", answer(499, ""), 499, `{"type":"about:blank","title":"Error","status":499}` + "\n", [2]string{}},
		{"early hints", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); http.NotFound(w, r) }, 404, missingJSON, [2]string{}},
		{"a second status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, 404, missingJSON, [2]string{}},
		{"an empty source before", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("")})
			http.NotFound(w, r)
		}, 404, missingJSON, [2]string{}},

		{"another text", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such order", 404) }, 404, "", [2]string{}},
		{"a longer text", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Not Found: order 5", 404) }, 404, "", [2]string{}},
		{"a longer text in two writes", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "Not Found")
			_, _ = io.WriteString(w, ": order 5")
		}, 404, "", [2]string{}},
		{"a text that breaks off", answer(404, "Not Fou"), 404, "", [2]string{}},
		{"the text of another status", answer(400, "Not Found\n"), 400, "", [2]string{}},
		{"two line ends", answer(404, "Not Found\n\n"), 404, "", [2]string{}},
		{"a long source", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(strings.Repeat("Not Found\n", 1000))})
		}, 404, "", [2]string{}},
		{"another type", answer(404, "", "Content-Type", "application/json"), 404, "", [2]string{"Content-Type", "application/json"}},
		{"an encoding", answer(404, "Not Found\n", "Content-Encoding", "br"), 404, "", [2]string{"Content-Encoding", "br"}},
		{"success", answer(200, "Not Found\n"), 200, "", [2]string{}},
		{"no body, by right", answer(204, ""), 204, "", [2]string{}},
		{"a redirect", answer(302, "", "Location", "/x"), 302, "", [2]string{"Location", "/x"}},
		{"switched off before", func(w http.ResponseWriter, r *http.Request) { middleware.NoStatusPage(r); http.NotFound(w, r) }, 404, "", [2]string{}},
		{"switched off after", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r); middleware.NoStatusPage(r) }, 404, "", [2]string{}},
		{"a problem", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Accept", "text/plain")
			middleware.WriteProblem(w, r, &middleware.Problem{Status: 404})
		}, 404, "", [2]string{}},
		{"flushed", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "Not Found\n")
		}, 404, "", [2]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var plain, above, below life
			bare := plain.observe(tt.h)
			h := above.observe(middleware.StatusPages(middleware.StatusPagesOptions{})(below.observe(tt.h)))
			overBothProtocols(t, bare, func(t *testing.T, srv *httptest.Server) {
				without, body, err := get(t, srv, "/", "Accept", "application/json")
				require.NoError(t, err)
				http2 := srv.TLS != nil
				srv.Close()
				srv = httptest.NewUnstartedServer(counted(h))
				srv.Config.ErrorLog = silentLog
				srv.EnableHTTP2 = http2
				if http2 {
					srv.StartTLS()
				} else {
					srv.Start()
				}
				defer srv.Close()
				for _, method := range []string{"GET", "HEAD"} {
					req, err := http.NewRequestWithContext(t.Context(), method, srv.URL, nil)
					require.NoError(t, err)
					req.Header.Set("Accept", "application/json")
					client := *srv.Client()
					client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
					res, err := client.Do(req)
					require.NoError(t, err)
					got, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					require.NoError(t, res.Body.Close())

					require.Equal(t, tt.status, res.StatusCode)
					require.Equal(t, []int{tt.status}, above.starts, "once, with the true status")
					require.Equal(t, fmt.Sprint(tt.status), res.Header.Get("X-Seen"))
					if tt.header[0] != "" {
						require.Equal(t, tt.header[1], res.Header.Get(tt.header[0]))
					}
					if tt.body == "" {
						require.Equal(t, without.Header.Get("Content-Type"), res.Header.Get("Content-Type"))
						if method == "GET" {
							require.Equal(t, body, string(got), "as without StatusPages")
							require.EqualValues(t, len(got), above.bytes)
						}
						continue
					}
					require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
					require.EqualValues(t, len(tt.body), res.ContentLength)
					if method == "GET" {
						require.Equal(t, tt.body, string(got))
						require.EqualValues(t, len(tt.body), above.bytes)
					}
				}
			})
		})
	}
}

// HEAD gets the headers of GET.
func TestStatusPagesHEADWithoutABody(t *testing.T) {
	h := middleware.StatusPages(middleware.StatusPagesOptions{})(answer(404, "", "Content-Length", "10"))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, err := srv.Client().Head(srv.URL)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.EqualValues(t, 10, res.ContentLength, "the length of GET")
		require.Empty(t, res.Header.Get("Vary"))
	})
}

// Changes after WriteHeader have no effect, also while the status is held.
func TestStatusPagesFreezesHeaders(t *testing.T) {
	for name, body := range map[string]string{"a page": "", "released": "no such order"} {
		t.Run(name, func(t *testing.T) {
			h := middleware.StatusPages(middleware.StatusPagesOptions{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Early", "yes")
				w.Header().Set("X-Gone", "yes")
				w.WriteHeader(404)
				w.Header().Set("X-Early", "changed")
				w.Header().Set("X-Late", "yes")
				w.Header().Del("X-Gone")
				_, _ = io.WriteString(w, body)
			}))
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, _, err := get(t, srv, "/")
				require.NoError(t, err)
				require.Equal(t, "yes", res.Header.Get("X-Early"))
				require.Equal(t, "yes", res.Header.Get("X-Gone"))
				require.Empty(t, res.Header.Get("X-Late"))
			})
		})
	}
}

func TestStatusPagesKeepsTrailers(t *testing.T) {
	h := middleware.StatusPages(middleware.StatusPagesOptions{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(404)
		_, _ = io.WriteString(w, "no such order")
		w.Header().Set("X-Sum", "13")
		w.Header().Set(http.TrailerPrefix+"X-More", "1")
	}))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, _, err := get(t, srv, "/")
		require.NoError(t, err)
		require.Equal(t, http.Header{"X-Sum": {"13"}, "X-More": {"1"}}, res.Trailer)
	})
}

// A stream with an error's status is sent as it is written.
func TestStatusPagesStreams(t *testing.T) {
	for name, flush := range map[string]func(http.ResponseWriter) error{
		"Flusher":            func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
		"ResponseController": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
	} {
		for below, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
			"direct":                           func(w http.ResponseWriter) http.ResponseWriter { return w },
			"below a writer that only unwraps": func(w http.ResponseWriter) http.ResponseWriter { return unwrapOnly{w} },
		} {
			if name == "Flusher" && below != "direct" {
				continue // it is not an error, and need not become one
			}
			t.Run(name+"/"+below, func(t *testing.T) {
				goOn := make(chan struct{})
				pages := middleware.StatusPages(middleware.StatusPagesOptions{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(404)
					if err := flush(w); err != nil {
						panic(err)
					}
					<-goOn
					_, _ = io.WriteString(w, "Not ")
					_ = flush(w)
					<-goOn
					_, _ = io.WriteString(w, "Found")
				}))
				var l life
				h := l.observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.ServeHTTP(wrap(w), r) }))
				overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
					res, err := srv.Client().Get(srv.URL)
					require.NoError(t, err, "the headers come first")
					require.Equal(t, 404, res.StatusCode)
					goOn <- struct{}{}
					buf := make([]byte, 4)
					_, err = io.ReadFull(res.Body, buf)
					require.NoError(t, err)
					goOn <- struct{}{}
					rest, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					require.NoError(t, res.Body.Close())
					require.Equal(t, "Not Found", string(buf)+string(rest))
				})
			})
		}
	}
}

type unwrapOnly struct{ w http.ResponseWriter }

func (u unwrapOnly) Header() http.Header         { return u.w.Header() }
func (u unwrapOnly) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapOnly) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.w }

func TestStatusPagesKeepsInterfaces(t *testing.T) {
	offers := func(w http.ResponseWriter) string {
		_, flusher := w.(http.Flusher)
		_, hijacker := w.(http.Hijacker)
		_, from := w.(io.ReaderFrom)
		_, str := w.(io.StringWriter)
		_, push := w.(http.Pusher)
		_, flushError := w.(interface{ FlushError() error })
		return fmt.Sprint(flusher, hijacker, from, str, push, flushError)
	}
	tell := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, offers(w)) })
	overBothProtocols(t, tell, func(t *testing.T, srv *httptest.Server) {
		_, want, err := get(t, srv, "/")
		require.NoError(t, err)
		http2 := srv.TLS != nil
		overBothProtocols(t, middleware.StatusPages(middleware.StatusPagesOptions{})(tell), func(t *testing.T, srv *httptest.Server) {
			if http2 != (srv.TLS != nil) {
				return
			}
			_, got, err := get(t, srv, "/")
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	})
}

func TestStatusPagesLetsUpgradesPass(t *testing.T) {
	h := middleware.StatusPages(middleware.StatusPagesOptions{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "x")
		w.Header().Set("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "raw")
		_ = conn.Close()
	}))
	srv := httptest.NewServer(counted(h))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	require.NoError(t, err)
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	rest, err := io.ReadAll(br)
	require.NoError(t, err)
	require.Equal(t, "raw", string(rest))
}

// Over HTTP/2 there is no hijack; the handler's answer to that gets its page.
func TestStatusPagesAfterAHijackThatFailed(t *testing.T) {
	h := middleware.StatusPages(middleware.StatusPagesOptions{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		if !errors.Is(err, http.ErrNotSupported) {
			panic(err)
		}
		http.Error(w, "Not Implemented", 501)
	}))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		if srv.TLS == nil {
			return
		}
		_, body, err := get(t, srv, "/", "Accept", "application/json")
		require.NoError(t, err)
		require.JSONEq(t, `{"type":"about:blank","title":"Not Implemented","status":501}`, body)
	})
}

func TestStatusPagesHandler(t *testing.T) {
	for name, tt := range map[string]struct {
		handler func(http.ResponseWriter, *http.Request, int)
		status  int
		body    string
	}{
		"writes":          {func(w http.ResponseWriter, _ *http.Request, status int) { _, _ = fmt.Fprint(w, "sorry: ", status) }, 404, "sorry: 404"},
		"writes a string": {func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, "sorry") }, 404, "sorry"},
		"copies": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("sorry")})
		}, 404, "sorry"},
		"flushes": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "x")
		}, 404, "x"},
		"chooses a status": {func(w http.ResponseWriter, _ *http.Request, _ int) { http.Error(w, "moved away", 410) }, 410, "moved away\n"},
		"writes nothing":   {func(http.ResponseWriter, *http.Request, int) {}, 404, ""},
		"an empty source": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("")})
		}, 404, ""},
		"writes the bare text": {func(w http.ResponseWriter, r *http.Request, _ int) { http.NotFound(w, r) }, 404, "404 page not found\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var l life
			h := l.observe(middleware.StatusPages(middleware.StatusPagesOptions{Handler: tt.handler})(answer(404, "Not Found\n", "X-Kept", "yes")))
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/")
				require.NoError(t, err)
				require.Equal(t, tt.status, res.StatusCode)
				require.Equal(t, tt.body, body)
				require.Equal(t, "yes", res.Header.Get("X-Kept"))
				srv.Close()
				require.Equal(t, []int{tt.status}, l.starts)
			})
		})
	}
}

// Together with Recover: an answer with a text stays, a status alone gets a page, and a
// status that was held when the handler failed has not been sent.
func TestStatusPagesAndRecover(t *testing.T) {
	page := middleware.StatusPages(middleware.StatusPagesOptions{Handler: func(w http.ResponseWriter, _ *http.Request, status int) {
		_, _ = fmt.Fprint(w, "page ", status)
	}})
	rec := middleware.Recover(middleware.RecoverOptions{Logger: silent})
	bare := middleware.Recover(middleware.RecoverOptions{Logger: silent, Handler: func(http.ResponseWriter, *http.Request, *middleware.Problem, error) {}})
	missing := &middleware.Problem{Status: 404}
	held := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); panic("x") })
	for _, tt := range []struct {
		name string
		h    http.Handler
		want string // "" means an abort
	}{
		{"Recover above, a 404", rec(page(http.NotFoundHandler())), "404 page 404"},
		{"Recover below, a 404", page(rec(http.NotFoundHandler())), "404 page 404"},
		{"Recover above, a panic", rec(page(handlerPanicking("x"))), "500 500 Internal Server Error\n"},
		{"Recover below, a panic", page(rec(handlerPanicking("x"))), "500 500 Internal Server Error\n"},
		{"Recover above, an error", rec(page(handlerReturning(missing))), "404 404 Not Found\n"},
		{"Recover below, an error", page(rec(failing(missing))), "404 404 Not Found\n"},
		{"a Handler that only says the status, above", bare(page(handlerReturning(missing))), "404 page 404"},
		{"a Handler that only says the status, below", page(bare(handlerPanicking(missing))), "404 page 404"},
		{"a status held, Recover above", rec(page(held)), "500 500 Internal Server Error\n"},
		{"a status held, Recover below", page(rec(held)), ""},
		{"a page that panics", rec(middleware.StatusPages(middleware.StatusPagesOptions{
			Handler: func(http.ResponseWriter, *http.Request, int) { panic("in the page") },
		})(http.NotFoundHandler())), "500 500 Internal Server Error\n"},
		{"a page in a page", page(middleware.ResponseTime(page(http.NotFoundHandler()))), "404 page 404"},
		{"below a buffer", page(http.TimeoutHandler(http.NotFoundHandler(), 1<<40, "")), "404 page 404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBothProtocols(t, tt.h, func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/")
				if tt.want == "" {
					require.Error(t, err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, tt.want, fmt.Sprint(res.StatusCode, " ", body))
			})
		})
	}
}

// A client that has left gets no page; the 499 of the log has no body.
func TestNoStatusPageForAClientThatLeft(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	w := httptest.NewRecorder()
	h := middleware.StatusPages(middleware.StatusPagesOptions{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		leave()
		w.WriteHeader(499)
	}))
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	require.Equal(t, 499, w.Code)
	require.Empty(t, w.Body.String())
}

func TestNoStatusPageWithoutStatusPages(t *testing.T) {
	require.NotPanics(t, func() { middleware.NoStatusPage(httptest.NewRequest(http.MethodGet, "/", nil)) })
}

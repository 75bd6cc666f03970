package chains_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/justinas/alice"
	"github.com/stretchr/testify/require"
	"github.com/urfave/negroni/v3"

	"github.com/speakingtube/speakingtube/branch"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// adapt turns a component into one of negroni's, which gets next as an argument.
func adapt(mw pipeline.Middleware) negroni.Handler {
	return negroni.HandlerFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		mw(next).ServeHTTP(w, r)
	})
}

func viaNegroni(mws []pipeline.Middleware, end http.Handler) http.Handler {
	n := negroni.New()
	for _, mw := range mws {
		n.Use(adapt(mw))
	}
	n.UseHandler(end)
	return n
}

func viaAlice(mws []pipeline.Middleware, end http.Handler) http.Handler {
	var chain alice.Chain
	for _, mw := range mws {
		chain = chain.Append(mw)
	}
	return chain.Then(end)
}

func viaPipeline(mws []pipeline.Middleware, end http.Handler) http.Handler {
	return pipeline.New().Use(mws...).Run(end).MustBuild()
}

// Each component works alone, in every chain.
func TestOneAtATime(t *testing.T) {
	for _, chain := range []struct {
		name string
		make func([]pipeline.Middleware, http.Handler) http.Handler
	}{{"alice", viaAlice}, {"negroni", viaNegroni}, {"pipeline", viaPipeline}} {
		t.Run(chain.name, func(t *testing.T) {
			t.Run("ResponseTime", func(t *testing.T) {
				h := chain.make([]pipeline.Middleware{middleware.ResponseTime}, rt.Text("x"))
				rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
					res := rt.Do(t, srv, "GET", "/")
					require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"))
					require.Equal(t, "x", res.Text)
				})
			})
			t.Run("Recover", func(t *testing.T) {
				h := chain.make([]pipeline.Middleware{middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()})},
					http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
				rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
					require.Equal(t, 500, rt.Do(t, srv, "GET", "/").StatusCode)
				})
			})
			t.Run("AccessLog", func(t *testing.T) {
				logs := &rt.Logs{}
				h := chain.make([]pipeline.Middleware{middleware.AccessLog(middleware.AccessLogOptions{Logger: logs.Logger()})},
					http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) }))
				n := 0
				rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
					rt.Do(t, srv, "GET", "/")
					n++
					require.EqualValues(t, 418, logs.Wait(t, n)[n-1]["response"].(map[string]any)["status"])
				})
			})
			t.Run("StatusPages", func(t *testing.T) {
				h := chain.make([]pipeline.Middleware{middleware.StatusPages(middleware.StatusPagesOptions{})}, http.NotFoundHandler())
				rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
					res := rt.Do(t, srv, "GET", "/", "Accept", "application/json")
					require.Equal(t, 404, res.StatusCode)
					require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
				})
			})
			t.Run("Endpoints", func(t *testing.T) {
				mux := http.NewServeMux()
				mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.PathValue("id")) })
				h := chain.make([]pipeline.Middleware{middleware.Endpoints(mux)}, rt.Text("next"))
				rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
					require.Equal(t, "7", rt.Do(t, srv, "GET", "/items/7").Text)
					require.Equal(t, "next", rt.Do(t, srv, "GET", "/x").Text)
				})
			})
			t.Run("branch.Map", func(t *testing.T) {
				h := chain.make([]pipeline.Middleware{branch.Map("/in", rt.Text("in"))}, rt.Text("out"))
				rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
					require.Equal(t, "in", rt.Do(t, srv, "GET", "/in/x").Text)
					require.Equal(t, "out", rt.Do(t, srv, "GET", "/inn").Text)
				})
			})
			t.Run("wsmanager", func(t *testing.T) {
				seen := make(chan rt.Seen, 1)
				h := chain.make([]pipeline.Middleware{rt.Watch(seen), middleware.RequestID(middleware.RequestIDOptions{}),
					rt.Echo(t, nil, wsmanager.Options{}).Middleware}, rt.Text("page"))
				srv := rt.Serve(t, h, false)
				c := wstest.Dial(t, srv.URL, nil)
				require.NotEmpty(t, c.Response.Header.Get("X-Request-Id"))
				require.Equal(t, rt.Seen{Starts: []int{101}, Status: 101, Upgraded: true}, rt.Receive(t, seen))
				rt.ExpectEcho(c)
				require.Equal(t, "page", rt.Do(t, srv, "GET", "/").Text)
			})
		})
	}
}

// negroni's own components around and inside, with its writer below ours and above.
func TestNegroniClassic(t *testing.T) {
	seen := make(chan rt.Seen, 1)
	var status, size int
	n := negroni.New()
	n.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		nw := w.(negroni.ResponseWriter)
		nw.Before(func(w negroni.ResponseWriter) { w.Header().Set("X-Before", fmt.Sprint(w.Status())) })
		next(w, r)
		status, size = nw.Status(), nw.Size()
	})
	n.Use(negroni.NewRecovery())
	n.Use(adapt(rt.Watch(seen)))
	inner := negroni.New(negroni.NewRecovery())
	inner.UseHandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "accepted")
	})
	n.UseHandler(inner)
	rt.Both(t, func() http.Handler { return n }, func(t *testing.T, srv *httptest.Server) {
		res := rt.Do(t, srv, "GET", "/")
		require.Equal(t, 202, res.StatusCode)
		require.Equal(t, "202", res.Header.Get("X-Before"))
		require.Equal(t, "202", res.Header.Get("X-Watch"))
		require.Equal(t, rt.Seen{Starts: []int{202}, Status: 202, Bytes: 8}, rt.Receive(t, seen))
		srv.Close() // waits for the handler
		require.Equal(t, 202, status)
		require.Equal(t, 8, size)
	})
}

// The handler from Build works anywhere: in a mux, a chain, another pipeline.
func TestBuiltPipelinesElsewhere(t *testing.T) {
	app := pipeline.New().Use(middleware.ResponseTime).
		Map("/in", func(b *pipeline.Builder) {
			b.RunFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, branch.PathBase(r)+" "+r.URL.Path)
			})
		}).
		Run(rt.Text("main")).MustBuild()
	mux := http.NewServeMux()
	mux.Handle("/", app)
	mux.Handle("/other", rt.Text("other"))
	for name, h := range map[string]http.Handler{
		"ServeMux":         mux,
		"alice":            alice.New(middleware.ResponseTime).Then(app),
		"negroni":          viaNegroni([]pipeline.Middleware{middleware.ResponseTime}, app),
		"another pipeline": pipeline.New().Use(middleware.ResponseTime).Run(app).MustBuild(),
	} {
		t.Run(name, func(t *testing.T) {
			rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
				require.Equal(t, "/in /x", rt.Do(t, srv, "GET", "/in/x").Text)
				res := rt.Do(t, srv, "GET", "/y")
				require.Equal(t, "main", res.Text)
				require.Len(t, res.Header.Values("X-Response-Time"), 1)
			})
		})
	}
}

// An answer outside of the observer, after the handlers, is not in its record: such a
// component belongs inside.
func TestAnsweredOutside(t *testing.T) {
	late := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			w.WriteHeader(http.StatusGatewayTimeout)
		})
	}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	seen := make(chan rt.Seen, 1)
	srv := rt.Serve(t, viaAlice([]pipeline.Middleware{rt.Watch(seen), late}, nothing), false)
	require.Equal(t, 504, rt.Do(t, srv, "GET", "/").StatusCode)
	require.Equal(t, []int{504}, rt.Receive(t, seen).Starts)
	srv = rt.Serve(t, viaAlice([]pipeline.Middleware{late, rt.Watch(seen)}, nothing), false)
	require.Equal(t, 504, rt.Do(t, srv, "GET", "/").StatusCode)
	require.Equal(t, []int{200}, rt.Receive(t, seen).Starts)
}

// One component under bare alice is one line.
func Example_alice() {
	h := alice.New(middleware.ResponseTime).ThenFunc(rt.Text("hello"))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Body, w.Header().Get("X-Response-Time") != "")
	// Output: hello true
}

// negroni passes next as an argument; an adapter is three lines.
func Example_negroni() {
	n := negroni.New()
	n.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		middleware.ResponseTime(next).ServeHTTP(w, r)
	})
	n.UseHandler(rt.Text("hello"))
	w := httptest.NewRecorder()
	n.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Body, w.Header().Get("X-Response-Time") != "")
	// Output: hello true
}

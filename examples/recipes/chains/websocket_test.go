package chains_test

import (
	"net/http"
	"testing"

	"github.com/felixge/httpsnoop"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/require"
	"github.com/urfave/negroni/v3"

	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// unwrapOnly is a writer with only the required methods and Unwrap.
type unwrapOnly struct{ w http.ResponseWriter }

func (u unwrapOnly) Header() http.Header         { return u.w.Header() }
func (u unwrapOnly) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapOnly) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.w }

// wrapped is a component that passes another writer on.
func wrapped(wrap func(http.ResponseWriter, *http.Request) http.ResponseWriter) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrap(w, r), r) })
	}
}

// An upgrade below the wrappers of three libraries and one that only unwraps: it succeeds
// with the headers that components above have set, and the access log has the right status,
// also for a refused one.
func TestUpgradeBelowWrappers(t *testing.T) {
	wrappers := map[string]pipeline.Middleware{
		"unwrap only": wrapped(func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return unwrapOnly{w} }),
		"httpsnoop": wrapped(func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
			return httpsnoop.Wrap(w, httpsnoop.Hooks{})
		}),
		"chi": wrapped(func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			return chimiddleware.NewWrapResponseWriter(w, r.ProtoMajor)
		}),
		"negroni": wrapped(func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return negroni.NewResponseWriter(w) }),
	}
	all := []pipeline.Middleware{wrappers["negroni"], wrappers["unwrap only"], wrappers["chi"], wrappers["httpsnoop"], wrappers["unwrap only"]}
	stacks := map[string][]pipeline.Middleware{"all": all}
	for name, w := range wrappers {
		stacks[name] = []pipeline.Middleware{w}
	}
	for name, stack := range stacks {
		t.Run(name, func(t *testing.T) {
			for _, tt := range []struct {
				name   string
				target string
				spoil  func(*http.Request)
				want   int
			}{
				{"accepted", "/ws", func(*http.Request) {}, 101},
				{"rejected", "/ws?no", func(*http.Request) {}, 401},
				{"a foreign origin", "/ws", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
				{"no key", "/ws", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400},
				{"no handshake", "/ws", func(r *http.Request) { r.Header = http.Header{} }, 426},
			} {
				t.Run(tt.name, func(t *testing.T) {
					logs := &rt.Logs{}
					accept := func(r *http.Request) (wsmanager.Accept, error) {
						if r.URL.RawQuery == "no" {
							return wsmanager.Accept{}, wsmanager.Reject(401, "Log in first.")
						}
						return wsmanager.Accept{}, nil
					}
					above := func(next http.Handler) http.Handler {
						return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							w.Header().Set("X-Request-Id", "abc")
							w.Header().Add("Set-Cookie", "seen=1")
							next.ServeHTTP(w, r)
						})
					}
					srv := rt.Serve(t, pipeline.New().
						Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logs.Logger()}), above).
						Use(stack...).
						Mount("/ws", rt.Echo(t, accept, wsmanager.Options{})).MustBuild(), false)
					req := wstest.Request(t, srv.URL+tt.target)
					tt.spoil(req)
					c := wstest.Handshake(t, req, nil)
					require.Equal(t, tt.want, c.Response.StatusCode)
					require.Equal(t, "abc", c.Response.Header.Get("X-Request-Id"))
					require.Equal(t, "seen=1", c.Response.Header.Get("Set-Cookie"))
					require.EqualValues(t, tt.want, logs.Wait(t, 1)[0]["response"].(map[string]any)["status"])
					if tt.want == 101 {
						rt.ExpectEcho(c)
					}
				})
			}
		})
	}
}

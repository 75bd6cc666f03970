package crossorigin_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/jub0bs/cors"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/recipes/crossorigin"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

const (
	friend   = "https://app.example.com"
	stranger = "https://evil.example.net"
)

var config = cors.Config{
	Origins:         []string{friend, "https://*.example.org"},
	Credentialed:    true,
	Methods:         []string{http.MethodGet, http.MethodPost, http.MethodDelete},
	RequestHeaders:  []string{"Authorization", "Content-Type"},
	ResponseHeaders: []string{"X-Request-Id", "X-Response-Time"},
	MaxAgeInSeconds: 600,
}

// service has CORS below or above Recover.
func service(outside bool, calls *atomic.Int32) http.Handler {
	app := pipeline.New()
	recoverer := middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()})
	if outside {
		app.Use(crossorigin.CORS(config), recoverer)
	} else {
		app.Use(recoverer, crossorigin.CORS(config))
	}
	app.Use(middleware.RequestID(middleware.RequestIDOptions{}), middleware.ResponseTime)
	app.Map("/panic", func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }) })
	app.Map("/data", func(b *pipeline.Builder) {
		b.RunFunc(func(w http.ResponseWriter, r *http.Request) { calls.Add(1); rt.Text("data").ServeHTTP(w, r) })
	})
	return app.MustBuild()
}

func TestActualRequests(t *testing.T) {
	for _, outside := range []bool{false, true} {
		var calls atomic.Int32
		rt.Both(t, func() http.Handler { return service(outside, &calls) }, func(t *testing.T, srv *httptest.Server) {
			for _, tt := range []struct {
				name, target, origin string
				status               int
				allowed              bool
			}{
				{"an allowed origin", "/data", friend, 200, true},
				{"one that a pattern allows", "/data", "https://a.b.example.org", 200, true},
				{"a stranger", "/data", stranger, 200, false},
				{"another scheme", "/data", "http://app.example.com", 200, false},
				{"the opaque origin", "/data", "null", 200, false},
				{"a 404", "/missing", friend, 404, true},
				{"a 500 that Recover writes", "/panic", friend, 500, true},
				{"a 500 for a stranger", "/panic", stranger, 500, false},
			} {
				t.Run(tt.name, func(t *testing.T) {
					res := rt.Do(t, srv, http.MethodGet, tt.target, "Origin", tt.origin)
					require.Equal(t, tt.status, res.StatusCode)
					require.Contains(t, res.Header.Values("Vary"), "Origin", "caches keep the answers apart")
					require.NotEmpty(t, res.Header.Get("X-Request-Id"))
					if !tt.allowed {
						require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
						require.Empty(t, res.Header.Get("Access-Control-Allow-Credentials"))
						return
					}
					require.Equal(t, tt.origin, res.Header.Get("Access-Control-Allow-Origin"))
					require.Equal(t, "true", res.Header.Get("Access-Control-Allow-Credentials"))
					require.Equal(t, "x-request-id,x-response-time", res.Header.Get("Access-Control-Expose-Headers"))
				})
			}
			t.Run("no origin", func(t *testing.T) {
				res := rt.Do(t, srv, http.MethodGet, "/data")
				require.Equal(t, "data", res.Text)
				require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
				require.Equal(t, "Origin", res.Header.Get("Vary"), "also here: a cache would give the answer to a page")
			})
		})
	}
}

func TestPreflights(t *testing.T) {
	var calls atomic.Int32
	rt.Both(t, func() http.Handler { return service(false, &calls) }, func(t *testing.T, srv *httptest.Server) {
		calls.Store(0)
		for _, tt := range []struct {
			name, origin, method, headers string
			ok                            bool
		}{
			{"allowed", friend, "DELETE", "authorization", true},
			{"the method is not", friend, "PATCH", "", false},
			{"the header is not", friend, "DELETE", "x-secret", false},
			{"the origin is not", stranger, "DELETE", "", false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				header := []string{"Origin", tt.origin, "Access-Control-Request-Method", tt.method}
				if tt.headers != "" {
					header = append(header, "Access-Control-Request-Headers", tt.headers)
				}
				res := rt.Do(t, srv, http.MethodOptions, "/data", header...)
				if !tt.ok {
					require.NotEqual(t, "2", res.Status[:1], "browsers take any 2xx with the right headers")
					require.Empty(t, res.Header.Get("Access-Control-Allow-Methods"))
					return
				}
				require.Equal(t, http.StatusNoContent, res.StatusCode)
				require.Equal(t, tt.origin, res.Header.Get("Access-Control-Allow-Origin"))
				require.Equal(t, "true", res.Header.Get("Access-Control-Allow-Credentials"))
				require.Equal(t, tt.method, res.Header.Get("Access-Control-Allow-Methods"))
				require.Equal(t, tt.headers, res.Header.Get("Access-Control-Allow-Headers"))
				require.Equal(t, "600", res.Header.Get("Access-Control-Max-Age"))
			})
		}
		require.Zero(t, calls.Load(), "no preflight reaches the handler")
		rt.Do(t, srv, http.MethodOptions, "/data", "Origin", friend)
		require.EqualValues(t, 1, calls.Load(), "an OPTIONS that is not a preflight does")
	})
}

// A guard in front of CORS sees preflights without credentials.
func TestBeforeAuthentication(t *testing.T) {
	guard := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	preflight := []string{"Origin", friend, "Access-Control-Request-Method", "DELETE"}

	right := rt.Serve(t, pipeline.New().Use(crossorigin.CORS(config), guard).Run(rt.Text("in")).MustBuild(), false)
	require.Equal(t, 204, rt.Do(t, right, http.MethodOptions, "/", preflight...).StatusCode)
	res := rt.Do(t, right, http.MethodGet, "/", "Origin", friend)
	require.Equal(t, 401, res.StatusCode)
	require.Equal(t, friend, res.Header.Get("Access-Control-Allow-Origin"), "the page learns that it must log in")

	wrong := rt.Serve(t, pipeline.New().Use(guard, crossorigin.CORS(config)).Run(rt.Text("in")).MustBuild(), false)
	require.Equal(t, 401, rt.Do(t, wrong, http.MethodOptions, "/", preflight...).StatusCode)
}

// CORS only controls reading; the request has been served by then.
// http.CrossOriginProtection refuses it.
func TestCORSRefusesNothing(t *testing.T) {
	var calls atomic.Int32
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	srv := rt.Serve(t, pipeline.New().Use(crossorigin.CORS(config)).Run(count).MustBuild(), false)
	require.Equal(t, 200, rt.Do(t, srv, http.MethodPost, "/", "Origin", stranger, "Sec-Fetch-Site", "cross-site").StatusCode)
	require.EqualValues(t, 1, calls.Load())

	protection := http.NewCrossOriginProtection()
	require.NoError(t, protection.AddTrustedOrigin(friend))
	srv = rt.Serve(t, pipeline.New().Use(crossorigin.CORS(config), protection.Handler).Run(count).MustBuild(), false)
	require.Equal(t, 403, rt.Do(t, srv, http.MethodPost, "/", "Origin", stranger, "Sec-Fetch-Site", "cross-site").StatusCode)
	require.EqualValues(t, 1, calls.Load())
	require.Equal(t, 200, rt.Do(t, srv, http.MethodPost, "/", "Origin", friend, "Sec-Fetch-Site", "cross-site").StatusCode)
	require.EqualValues(t, 2, calls.Load())
}

// CORS passes every handshake on, whatever the origin: the manager decides.
func TestWebSockets(t *testing.T) {
	open := rt.Echo(t, nil, crossorigin.Options(config, wsmanager.Options{Origins: wsmanager.Origins{Allowed: []string{"https://other.example.com"}}}))
	strict := rt.Echo(t, nil, wsmanager.Options{})
	careless := rt.Echo(t, nil, wsmanager.Options{Origins: wsmanager.Origins{DangerouslyAllowAny: true}})
	srv := rt.Serve(t, pipeline.New().Use(crossorigin.CORS(config)).
		Mount("/open", open).Mount("/strict", strict).Mount("/careless", careless).MustBuild(), false)
	for _, tt := range []struct {
		target, origin string
		status         int
	}{
		{"/open", friend, 101},
		{"/open", "https://other.example.com", 101},
		{"/open", "https://a.example.org", 101},
		{"/open", "https://example.org", 403},
		{"/open", stranger, 403},
		{"/open", "", 101}, // not a browser
		{"/strict", srv.URL, 101},
		{"/strict", friend, 403}, // allowed by CORS alone
		{"/strict", "null", 403},
		{"/careless", stranger, 101}, // CORS refuses no request
	} {
		t.Run(tt.target+" "+tt.origin, func(t *testing.T) {
			req := wstest.Request(t, srv.URL+tt.target)
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
			c := wstest.Handshake(t, req, nil)
			require.Equal(t, tt.status, c.Response.StatusCode)
			if tt.status == 101 {
				rt.ExpectEcho(c)
			}
		})
	}
}

// Redirects to the clean path happen before the first component, also before CORS.
func TestUncleanPaths(t *testing.T) {
	srv := rt.Serve(t, pipeline.New().Use(crossorigin.CORS(config)).Run(rt.Text("x")).MustBuild(), false)
	res := rt.Raw(t, srv, "//data", "Origin", friend)
	require.Equal(t, 307, res.StatusCode)
	require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
}

// In a branch CORS applies to the branch.
func TestInABranch(t *testing.T) {
	srv := rt.Serve(t, pipeline.New().Map("/api", func(b *pipeline.Builder) {
		b.Use(crossorigin.CORS(cors.Config{Origins: []string{"*"}})).Run(rt.Text("api"))
	}).Run(rt.Text("site")).MustBuild(), false)
	require.Equal(t, "*", rt.Do(t, srv, http.MethodGet, "/api/x", "Origin", stranger).Header.Get("Access-Control-Allow-Origin"))
	require.Empty(t, rt.Do(t, srv, http.MethodGet, "/x", "Origin", stranger).Header.Get("Access-Control-Allow-Origin"))
}

func TestMistakesAreReportedByBuild(t *testing.T) {
	_, err := pipeline.New().
		Use(crossorigin.CORS(cors.Config{Origins: []string{"*", "example.com"}, Credentialed: true})).
		Use(nil).
		Build()
	require.ErrorContains(t, err, "crossorigin_test.go:")
	require.ErrorContains(t, err, "crossorigin.CORS: cors: ")
	require.ErrorContains(t, err, `"example.com"`)
	require.ErrorContains(t, err, "the component is nil", "and with the other mistakes")
	var bad *pipeline.ConfigError
	require.ErrorAs(t, err, &bad)
}

func TestOptionsLeavesTheCallersAlone(t *testing.T) {
	mine := make([]string, 1, 10)
	mine[0] = "https://other.example.com"
	got := crossorigin.Options(config, wsmanager.Options{Origins: wsmanager.Origins{Allowed: mine}, Limits: wsmanager.Limits{MaxMessageSize: 7}})
	require.Equal(t, []string{"https://other.example.com", friend, "https://*.example.org"}, got.Origins.Allowed)
	require.Equal(t, 7, got.Limits.MaxMessageSize)
	require.Empty(t, mine[:2][1])
}

package withchi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/examples/recipes/withchi"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// answerPath answers with the path as a handler sees it.
func answerPath(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s base=%s path=%s id=%s", name, branch.PathBase(r), r.URL.Path, r.PathValue("id"))
	}
}

// users is a typical router.
func users() chi.Router {
	r := chi.NewRouter()
	r.Use(chimiddleware.RequestID) // copies the request
	r.Get("/", answerPath("root"))
	r.Get("/users/{id}", answerPath("user"))
	r.Route("/deep", func(r chi.Router) { r.Get("/{id}/x", answerPath("deep")) })
	r.Get("/files/*", answerPath("files"))
	r.Get("/panic/{id}", func(http.ResponseWriter, *http.Request) { panic("oops") })
	return r
}

func TestRouterInsideAPipeline(t *testing.T) {
	for _, tt := range []struct {
		target, body, route string
		status              int
	}{
		{"/users/7", "user base= path=/users/7 id=7", "/users/{id}", 200},
		{"/api", "root base=/api path=/ id=", "/api/", 200},
		{"/api/", "root base=/api path=/ id=", "/api/", 200},
		{"/api/users/7", "user base=/api path=/users/7 id=7", "/api/users/{id}", 200},
		{"/API/users/7", "user base=/API path=/users/7 id=7", "/api/users/{id}", 200},
		{"/api/users/a%2Fb", "user base=/api path=/users/a/b id=a%2Fb", "/api/users/{id}", 200}, // chi matches the escaped path
		{"/api/deep/7/x", "deep base=/api path=/deep/7/x id=7", "/api/deep/{id}/x", 200},
		{"/api/files/a/b", "files base=/api path=/files/a/b id=", "/api/files/*", 200},
		{"/api/v1/users/7", "user base=/api/v1 path=/users/7 id=7", "/api/v1/users/{id}", 200},
		{"/api/nowhere", "404 page not found\n", "/api", 404},
		{"/api/panic/7", `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n", "/api/panic/{id}", 500},
	} {
		t.Run(tt.target, func(t *testing.T) {
			logs := &rt.Logs{}
			h := pipeline.New().
				Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logs.Logger()})).
				Use(middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()})).
				Map("/api", func(b *pipeline.Builder) {
					b.Mount("/v1", withchi.Handler(users()))
					b.Run(withchi.Handler(users()))
				}).
				Run(withchi.Handler(users())).
				MustBuild()
			n := 0
			rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
				res := rt.Do(t, srv, "GET", tt.target)
				require.Equal(t, tt.status, res.StatusCode)
				require.Equal(t, tt.body, res.Text)
				n++
				route, _ := logs.Wait(t, n)[n-1]["request"].(map[string]any)["route"].(string)
				require.Equal(t, tt.route, route)
			})
		})
	}
}

// A bare Mux routes too, by the path of the branch; it only hides its pattern, so that the route
// is the branch's.
func TestBareRouterInABranch(t *testing.T) {
	logs := &rt.Logs{}
	srv := rt.Serve(t, pipeline.New().
		Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logs.Logger()})).
		Mount("/api", users()).MustBuild(), false)
	require.Equal(t, "user base=/api path=/users/7 id=7", rt.Do(t, srv, "GET", "/api/users/7").Text)
	require.Equal(t, "/api", logs.Wait(t, 1)[0]["request"].(map[string]any)["route"])
}

// branch.Map can be used as a middleware in chi, and a router may be in the branch.
func TestBranchUnderARouter(t *testing.T) {
	outer := chi.NewRouter()
	outer.Use(middleware.ResponseTime, branch.Map("/map", answerPath("mapped")))
	outer.Get("/users/{id}", answerPath("outer"))
	outer.Route("/sub", func(r chi.Router) {
		// The path is still complete, whatever part of it chi has matched.
		r.Use(branch.Map("/sub/bare", users()), branch.Map("/sub/right", withchi.Handler(users())))
		r.Get("/*", answerPath("sub"))
	})
	srv := rt.Serve(t, outer, false)
	for target, want := range map[string]string{
		"/map":               "mapped base=/map path=/ id=",
		"/MAP/x":             "mapped base=/MAP path=/x id=",
		"/users/7":           "outer base= path=/users/7 id=7",
		"/sub/x":             "sub base= path=/sub/x id=",
		"/sub/right/users/7": "user base=/sub/right path=/users/7 id=7",
		"/sub/bare/users/7":  "404 page not found\n", // it continues at chi's position: /bare/users/7
	} {
		res := rt.Do(t, srv, "GET", target)
		require.Equal(t, want, res.Text, target)
		require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"), target)
	}
}

// A pipeline mounted in a router sees the whole path.
func TestPipelineInARouter(t *testing.T) {
	router := chi.NewRouter()
	router.Mount("/plain", pipeline.New().
		Map("/users", func(b *pipeline.Builder) { b.Run(answerPath("short")) }).
		Map("/plain/users", func(b *pipeline.Builder) { b.Run(answerPath("full")) }).MustBuild())
	router.Mount("/based", pipeline.New().
		Use(branch.UsePathBase("/based")).
		Map("/users", func(b *pipeline.Builder) { b.Run(answerPath("based")) }).
		Run(answerPath("rest")).MustBuild())
	srv := rt.Serve(t, router, false)
	for target, want := range map[string]string{
		"/plain/users/7": "full base=/plain/users path=/7 id=",
		"/based/users/7": "based base=/based/users path=/7 id=",
		"/based":         "rest base=/based path=/ id=",
		"/based/x":       "rest base=/based path=/x id=",
		"/plain/x":       "404 page not found\n",
	} {
		require.Equal(t, want, rt.Do(t, srv, "GET", target).Text, target)
	}
	t.Run("and in http.ServeMux", func(t *testing.T) {
		mux := http.NewServeMux()
		app := pipeline.New().Map("/users", func(b *pipeline.Builder) { b.Run(answerPath("stripped")) }).MustBuild()
		mux.Handle("/strip/", http.StripPrefix("/strip", app))
		mux.Handle("/base/", pipeline.New().Use(branch.UsePathBase("/base")).Run(app).MustBuild())
		srv := rt.Serve(t, mux, false)
		require.Equal(t, "stripped base=/users path=/7 id=", rt.Do(t, srv, "GET", "/strip/users/7").Text)
		require.Equal(t, "stripped base=/base/users path=/7 id=", rt.Do(t, srv, "GET", "/base/users/7").Text)
	})
}

func TestWebSocketBehindARouter(t *testing.T) {
	router := chi.NewRouter()
	router.Use(chimiddleware.RequestID, middleware.RequestID(middleware.RequestIDOptions{}))
	router.Handle("/ws/{room}", rt.Echo(t, func(r *http.Request) (wsmanager.Accept, error) {
		return wsmanager.Accept{Header: http.Header{"X-Room": {chi.URLParam(r, "room") + " " + r.PathValue("room")}}}, nil
	}, wsmanager.Options{}))
	srv := rt.Serve(t, pipeline.New().Mount("/api", withchi.Handler(router)).MustBuild(), false)
	c := wstest.Dial(t, srv.URL+"/api/ws/lobby", nil)
	require.Equal(t, "lobby lobby", c.Response.Header.Get("X-Room"))
	require.NotEmpty(t, c.Response.Header.Get("X-Request-Id"))
	rt.ExpectEcho(c)
}

func ExampleHandler() {
	users := chi.NewRouter()
	users.Get("/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "user "+chi.URLParam(r, "id"))
	})
	app := pipeline.New().
		UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(w, r)
			fmt.Println(r.Pattern)
		}).
		Mount("/api", withchi.Handler(users)).
		MustBuild()
	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/users/7", nil))
	fmt.Println(w.Body)
	// Output:
	// /api/users/{id}
	// user 7
}

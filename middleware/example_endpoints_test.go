package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// Below a branch the patterns contain the rest of the path; the route contains all of it.
func ExampleEndpoints() {
	api := http.NewServeMux()
	api.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "item", r.PathValue("id")) })
	api.HandleFunc("GET /tree/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "tree") })

	app := pipeline.New()
	app.Use(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
		fmt.Printf("%s %s: route %q\n", r.Method, r.URL.Path, res.Route())
	}))
	app.Map("/api", func(b *pipeline.Builder) { b.Use(middleware.Endpoints(api)) })
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "home") })
	h := app.MustBuild()

	for _, request := range []struct{ method, target string }{{"GET", "/api/items/7"}, {"PUT", "/api/items/7"}, {"GET", "/api/tree"}, {"GET", "/api/nothing"}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(request.method, request.target, nil))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Allow")+w.Header().Get("Location"))
	}
	// Output:
	// GET /api/items/7: route "GET /api/items/{id}"
	// 200 ""
	// PUT /api/items/7: route "/api/items/{id}"
	// 405 "GET, HEAD"
	// GET /api/tree: route "GET /api/tree/"
	// 307 "/api/tree/"
	// GET /api/nothing: route "/api"
	// 404 ""
}

// With full patterns below a branch nothing matches: the branch has removed its part of the
// path. PreservePath keeps it.
func ExampleEndpoints_misuse() {
	api := http.NewServeMux()
	api.HandleFunc("GET /api/items/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "item", r.PathValue("id")) })
	for _, preserve := range []bool{false, true} {
		app := pipeline.New()
		app.MapWith("/api", branch.MapOptions{PreservePath: preserve}, func(b *pipeline.Builder) { b.Use(middleware.Endpoints(api)) })
		show(app.MustBuild(), "/api/items/7")
	}
	// Output:
	// 404 404 page not found
	// 200 item 7
}

// Package withchi is the recipe for a chi router (github.com/go-chi/chi/v5) around a
// pipeline, inside one, and for chi's own middlewares.
//
// # A router inside
//
// At the end of a pipeline or of a branch, use [Handler]. A bare chi.Mux works too, with
// two gaps that Handler closes: chi keeps the pattern of the route in a copy of the
// request, so that logs and telemetry above don't see it; and a router in a branch below
// another chi router uses the outer one's position in the path, and finds nothing.
//
// # A pipeline inside a router
//
// chi.Mux.Mount leaves r.URL.Path unchanged and stores the rest elsewhere, so a pipeline
// mounted at /api sees /api/users. Write its branches in full, or begin it with
// branch.UsePathBase("/api"). branch.Map and the other components are ordinary middlewares
// for Mux.Use.
//
// # Guards
//
// chi matches case, and the escaped path if a client escaped more than necessary; file
// servers may do neither. So a guard in chi's tree protects only the routes below it: a
// file server at /* of the same tree serves /ADMIN/s, /admin%2fs or /x/../admin/s
// unguarded. Guard in the pipeline: it cleans paths before chi sees them, and Map and
// UseWhen(branch.Path(...)) match in every spelling. In a router without a pipeline use
// branch.CleanPaths and branch.UseWhen.
//
// Do not write escapes ("/admin%2fs") in chi's patterns: they match two paths, of which the
// guard recognises only one.
//
// # chi's middlewares
//
// RequestID, Logger, Recoverer, Timeout and Compress work on both sides of an observer, and
// pass WebSockets through. But:
//
//   - Recoverer swallows a panic in the middle of a body instead of aborting the response:
//     the client gets half of it as a well-formed 200. Use middleware.Recover.
//   - Timeout only cancels the context, and its 504 comes when the handler returns, if
//     nothing was written. Put it inside of the observers, for which the response has
//     otherwise ended by then, as a 200 without a body; or use middleware.Timeout.
package withchi

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// Handler makes a handler of a router, for Run and Mount at any depth of a pipeline.
func Handler(router chi.Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := chi.NewRouteContext() // never that of a router above: the path is the branch's
		route.Routes = router
		inside := r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, route))
		before := r.Pattern
		defer func() {
			if r.Pattern == before {
				r.Pattern = route.RoutePattern()
			}
			if r.MultipartForm == nil {
				r.MultipartForm = inside.MultipartForm // net/http removes its files
			}
		}()
		router.ServeHTTP(w, inside)
	})
}

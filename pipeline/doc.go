// Package pipeline builds an http.Handler from components that a request runs
// through in order and that the response comes back through in reverse. It is
// ASP.NET Core's request-delegate model on plain net/http: every component is a
// func(http.Handler) http.Handler, so the middleware of any other package fits.
//
// # Usage
//
//	app := pipeline.New()
//	app.Use(middleware.Recover(middleware.RecoverOptions{}), middleware.ResponseTime)
//	app.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
//		w.Header().Set("X-Served-By", "speaking tube") // before
//		next.ServeHTTP(w, r)                           // not calling it short-circuits
//	})
//	app.Map("/admin", func(b *pipeline.Builder) { b.Use(auth).Run(admin) })
//	app.MapWhen(branch.Query("dump"), func(b *pipeline.Builder) { b.Run(dump) })
//	app.UseWhen(branch.Path("/api"), func(b *pipeline.Builder) { b.Use(limit) }) // rejoins
//	app.Mount("/ws", chat)                                                       // any http.Handler
//	app.Run(home)
//	h, err := app.Build() // every mistake, with the line it was made on
//	…
//	err = pipeline.Serve(ctx, &http.Server{Addr: addr, Handler: h}, chat.Shutdown)
//
// A pipeline without Run ends in 404, as does every branch; Map and MapWhen
// never fall back to the main line. MapWith and MountWith take
// [branch.MapOptions]: the path stays as it is, the case of letters counts.
//
// # The life of a response
//
// [Observe] makes components that see the response start and end, whichever way
// it happens, without wrapping the writer more than once per request:
//
//	var stamp = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
//		res.OnStarting(func(h http.Header, status int) { h.Set("X-Stamp", "…") })
//		next.ServeHTTP(w, r)
//	})
//
// # Concurrency
//
// A Builder belongs to one goroutine. The handler that Build returns and the
// methods of Response are safe for concurrent use.
//
// # Failure
//
// Mistakes in the configuration are found by Build, all at once. A panic of a
// component is not handled here: put middleware.Recover first. [Serve] returns
// nil after a clean end and otherwise says what did not end in time.
//
// # Testing
//
// What Build returns is a handler. [Builder.String] prints the tree, which a test can
// compare; package pipelinetest has writers like those of net/http's servers.
package pipeline

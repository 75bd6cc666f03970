// Package pipeline builds an http.Handler from components. A request passes through them in
// order, and the response comes back in reverse. It is ASP.NET Core's request-delegate
// model on plain net/http: every component is a func(http.Handler) http.Handler, so the
// middleware of other packages can be used directly.
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
//	h, err := app.Build() // all mistakes, each with the line of the call
//	…
//	err = pipeline.Serve(ctx, &http.Server{Addr: addr, Handler: h}, chat.Shutdown)
//
// A pipeline or branch without Run ends with 404; Map and MapWhen never fall back to the
// main line. MapWith and MountWith take [branch.MapOptions], for example to preserve the
// path or to match case.
//
// # The life of a response
//
// [Observe] makes components that see the response start and end, however it does, without
// wrapping the writer more than once per request:
//
//	var stamp = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
//		res.OnStarting(func(h http.Header, status int) { h.Set("X-Stamp", "…") })
//		next.ServeHTTP(w, r)
//	})
//
// # Concurrency
//
// A Builder belongs to one goroutine. The handler that Build returns and the methods of
// Response are safe for concurrent use.
//
// # Failure
//
// Build finds all configuration mistakes at once. The package does not handle a component's
// panic: put middleware.Recover first. [Serve] returns nil after a graceful shutdown, and
// otherwise an error that names everything that did not end in time.
//
// # Testing
//
// Build returns a plain handler. A test can compare the tree that [Builder.String] prints;
// package pipelinetest has writers like those of net/http's servers.
package pipeline

// Package middleware holds the components that a first service needs. Each is a
// plain func(http.Handler) http.Handler, or makes one, and works in any chain;
// those that watch the response share one wrapped writer per request through
// package pipeline.
//
// # Usage
//
//	app := pipeline.New()
//	app.Use(middleware.Recover(middleware.RecoverOptions{}), middleware.ResponseTime)
//	app.Use(middleware.AccessLog(middleware.AccessLogOptions{}))
//
// or without package pipeline, as any middleware:
//
//	h := middleware.Recover(middleware.RecoverOptions{})(mux)
//
// # Index, in the recommended order
//
// docs/ordering.md has the reasons.
//
//   - [Forwarded] puts back what trusted proxies changed: before everything that
//     looks at address, scheme or host.
//   - [Recover] answers for panics, and for errors of a [HandlerFunc] or [Fail]; first
//     of those that observe, so that it covers everything. [DeveloperErrorPage]
//     takes its place in development.
//   - [RequestID] gives the request an id: before whatever may answer.
//   - [ResponseTime] sets X-Response-Time: before whatever takes time.
//   - [AccessLog] logs a record per request: before whatever may answer by itself.
//   - [HealthChecks] says how the service is: before authentication and limits.
//   - [StatusPages] gives answers without a text of their own a body: inside
//     AccessLog, outside whatever answers.
//   - [Stopwatch] measures the rest of the pipeline: in front of what it is to
//     measure.
//   - [StaticFiles] serves files, a miss goes on: public ones before
//     authentication, others behind a guard.
//   - [BodyLimit] limits request bodies: before whatever reads them.
//   - [Timeout] ends requests that take too long: around the work.
//   - [Endpoints] is a ServeMux in the middle: what it has no pattern for goes on.
//
// For CORS, compression, rate limits, tracing and authentication see the module
// examples/recipes.
//
// [Problem] and [WriteProblem] are the answer to an error, for all of them.
//
// # Concurrency
//
// Components are safe for concurrent use once they are made; options are copied. What a
// function in an option touches is its own to guard: requests call it at the same time.
//
// # Failure
//
// Options that make no sense are reported by pipeline's Build, together with
// all other mistakes and with the place where the component was added; in other
// chains they panic at start-up with a *pipeline.ConfigError.
//
// # Testing
//
// Each component is a handler around another: httptest does. Where it matters how a
// server's writer behaves (flushing, taking over, HTTP/2), test over a real one; the log of
// a request may be written after the client has its answer.
package middleware

// The constructors are marked go:noinline so that a component keeps the name of
// the one that made it where package pipeline prints it.

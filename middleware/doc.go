// Package middleware holds the components that a first service needs. Each is a
// plain func(http.Handler) http.Handler, or makes one, and works in any chain;
// those that watch the response share one wrapped writer per request through
// package pipeline.
//
// # Index, in the recommended order
//
//   - [Recover] turns a panic into a 500; first, so that it covers everything.
//   - [ResponseTime] sets X-Response-Time; before whatever takes time.
//   - [AccessLog] logs a record per request; inside Recover and ResponseTime
//     costs it nothing, since it waits for the end of the response.
//   - [Stopwatch] measures the rest of the pipeline; in front of what it is to
//     measure.
//   - [StaticFiles] serves files, a miss goes on; behind guards, before what is
//     expensive.
//
// # Failure
//
// Options that make no sense are reported by pipeline's Build, together with
// all other mistakes and with the place where the component was added; in other
// chains they panic at start-up with a *pipeline.ConfigError.
package middleware

// The constructors are marked go:noinline so that a component keeps the name of
// the one that made it where package pipeline prints it.

// Package middleware has the components that most services need. Each is a plain
// func(http.Handler) http.Handler, or makes one, and works in any chain; those that observe
// the response share one wrapped writer per request through package pipeline.
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
//   - [Forwarded] restores the values that trusted proxies changed: before every component
//     that reads address, scheme or host.
//   - [Recover] answers panics, and errors of a [HandlerFunc] or [Fail]: first of those
//     that observe, so that it covers all others. [DeveloperErrorPage] replaces it in
//     development.
//   - [SecurityHeaders] makes browsers stricter: behind Recover, so that it is on errors too.
//   - [RequestID] gives the request an id: before every component that may answer.
//     [LogHandler] adds it to the application's own log records.
//   - [ResponseTime] sets X-Response-Time: before the components to be measured.
//   - [AccessLog] logs a record per request: before every component that may answer.
//   - [HealthChecks] reports the health of the service: before authentication and limits.
//   - [AllowedHosts] refuses requests for other hosts, [HTTPSRedirect] redirects to https:
//     behind AccessLog, and behind HealthChecks, whose probes often use an address and http.
//   - [Throttle] limits the requests that run at the same time: behind AccessLog and
//     HealthChecks.
//   - [StatusPages] adds a body to answers without a text of their own: inside AccessLog,
//     outside every component that answers.
//   - [Stopwatch] measures the rest of the pipeline: directly before it.
//   - [StaticFiles] serves files and passes other requests on: public files before
//     authentication, others behind a guard.
//   - [BodyLimit] limits request bodies: before every component that reads them.
//   - [Timeout] ends requests that take too long: around the work.
//   - [Endpoints] is a ServeMux in the middle: requests without a pattern are passed on.
//
// For CORS, compression, rate limits, tracing and authentication see the module
// examples/recipes.
//
// [HandlerFunc] is a handler that returns an error; [ReadJSON], [WriteJSON] and [PathValue]
// read its requests and write its answers.
//
// [Problem] and [WriteProblem] are the common form of error answers; [ProblemFormat] fixes
// their format, for example in the branch of an API.
//
// # Concurrency
//
// Components are safe for concurrent use once they are made; options are copied. Functions
// in options are called concurrently and have to protect their own data.
//
// # Failure
//
// Invalid options are reported by pipeline's Build, together with all other mistakes and
// with the place where the component was added; in other chains they panic at start-up with
// a *pipeline.ConfigError.
//
// # Testing
//
// Each component is a handler around another, so httptest suffices. If the behaviour of a
// server's writer matters (flushing, hijacking, HTTP/2), test over a real server; the log
// record of a request may be written after the client has its answer.
package middleware

// The constructors are marked go:noinline so that a component keeps the name of its
// constructor, which package pipeline prints.

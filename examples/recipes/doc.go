// Package recipes has no code: each folder below shows how another library is used in a
// pipeline, and its tests check the combination. Everything uses func(http.Handler)
// http.Handler, so a recipe is mostly about the order, and the effects of another order.
//
//   - crossorigin: CORS with github.com/jub0bs/cors
//   - compression: gzip and zstd with github.com/klauspost/compress/gzhttp
//   - ratelimit: requests by client address, with golang.org/x/time/rate
//   - telemetry: traces and metrics with OpenTelemetry's otelhttp
//   - authentication: users, also before the upgrade of a WebSocket
//   - events: server-sent events, which a drain of pipeline.Serve ends
//   - withchi: a chi router around a pipeline, inside one, and beside guards
//   - chains: one component at a time under alice, negroni and http.ServeMux
//   - frameworks: WebSockets and hubs in gin, echo and chi, and below middleware that wraps
//     the writer in its own way; a module of its own
//
// # Order
//
// One order that works, outermost first; each package has the reasons:
//
//	telemetry       spans and metrics see the answers that Recover writes
//	AccessLog       records carry the span's trace id
//	Recover         above everything that may panic
//	CORS            preflights carry no credentials: before authentication
//	rate limit      before expensive work
//	compression     inside Recover
//	authentication  before everything that it guards
//	WebSockets, branches, endpoints
//
// This is a module of its own, so that the library does not require these dependencies.
package recipes

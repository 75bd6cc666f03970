// Package recipes has no code: each folder below shows how a library of others is
// put into a pipeline, and its tests say what holds then. Everything speaks
// func(http.Handler) http.Handler, so a recipe is mostly about the order, and
// about what goes wrong in another one.
//
//   - crossorigin: CORS by github.com/jub0bs/cors
//   - compression: gzip and zstd by github.com/klauspost/compress/gzhttp
//   - ratelimit: requests by client address, with golang.org/x/time/rate
//   - telemetry: traces and metrics by OpenTelemetry's otelhttp
//   - authentication: who asks, before the upgrade of a WebSocket too
//   - withchi: a chi router around a pipeline, inside one, and beside guards
//   - chains: one component at a time under alice, negroni and http.ServeMux
//   - frameworks: WebSockets and hubs in gin, echo and chi, and below middleware that
//     wraps the writer in its own ways; a module of its own
//
// # Order
//
// One that works, outermost first; each package tells why:
//
//	telemetry       spans and metrics see the answers that Recover writes
//	AccessLog       records carry the span's trace id
//	Recover         above everything that may panic
//	CORS            preflights carry no credentials: before authentication
//	rate limit      before what costs something
//	compression     inside Recover
//	authentication  before whatever it guards
//	WebSockets, branches, endpoints
//
// The module is one of its own, so that the library requires none of this.
package recipes

// Package telemetry is the recipe for OpenTelemetry with
// go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp.
//
// # Order
//
// [Instrument] is outermost. AccessLog and Recover inside get a request whose context has
// the span, so their records carry its trace id (see [LogHandler]), and the answers that
// Recover writes are in span and metrics. With Recover outside, a panic bypasses otelhttp:
// the span has no status, and the request is in no metric. The same holds for a response
// that is aborted inside.
//
// # Routes
//
// Spans are named and metrics are labelled by the pattern of the endpoint, which has few
// values, never by the path, whose values clients choose. otelhttp reads r.Pattern when the
// handlers have returned. http.ServeMux sets it, and package branch copies it to the outer
// request behind its prefix; but a component that copies the request (WithContext) hides it
// from those above, unless it copies the pattern back. Response.SetRoute has no such gap,
// and middleware.Endpoints sets both. Instrument uses the route, or else the pattern, and
// also sets http.route on the span, which otelhttp does only for a pattern known
// beforehand. For an endpoint without a ServeMux, such as a WebSocket manager, use [Route].
//
// # WebSockets
//
// With wsmanager over HTTP/1.1 the handler returns as soon as the connection is handed
// over: the span is that of the handshake, with status 101, and durations do not include
// the socket's life. For a handler that stays as long as its socket, exclude upgrades with
// otelhttp.WithFilter. Messages on the socket are not part of the request: see
// [StartMessage].
package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/speakingtube/speakingtube/pipeline"
)

// Options configure [Instrument].
type Options struct {
	// TracerProvider gets the spans. Default: the global one of package otel.
	TracerProvider trace.TracerProvider

	// MeterProvider gets the metrics. Default: the global one of package otel.
	MeterProvider metric.MeterProvider

	// TrustTraceParent continues the trace in the request's traceparent header (W3C Trace
	// Context). Use it only behind a proxy that sets or checks the header: otherwise
	// clients choose trace ids and sampling. Default: each request starts a trace of its
	// own, linked to the one in the header.
	TrustTraceParent bool
}

// Instrument makes the component.
//
//go:noinline
func Instrument(opts Options) pipeline.Middleware {
	settings := []otelhttp.Option{
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return !opts.TrustTraceParent }),
	}
	if opts.TracerProvider != nil {
		settings = append(settings, otelhttp.WithTracerProvider(opts.TracerProvider))
	}
	if opts.MeterProvider != nil {
		settings = append(settings, otelhttp.WithMeterProvider(opts.MeterProvider))
	}
	instrument := otelhttp.NewMiddleware("", settings...)
	return func(next http.Handler) http.Handler { return instrument(routed(next)) }
}

// routed passes the request's route to otelhttp: r is the copy that otelhttp has made and
// reads afterwards.
var routed = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	next.ServeHTTP(w, r)
	if route := res.Route(); route != "" {
		r.Pattern = route
	}
	if i := strings.IndexByte(r.Pattern, '/'); i >= 0 { // after method and host
		trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("http.route", r.Pattern[i:]))
	}
})

// Route makes a component that names the route of its requests, unless a component below,
// such as middleware.Endpoints, names another.
//
//go:noinline
func Route(pattern string) pipeline.Middleware {
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		res.SetRoute(pattern)
		next.ServeHTTP(w, r)
	})
	return func(next http.Handler) http.Handler { return observed(next) }
}

// LogHandler adds trace_id and span_id to the records whose context has a span: those of
// AccessLog and Recover, and of slog.InfoContext in handlers. Below a Logger.WithGroup they
// are in the group.
type LogHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h LogHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record = record.Clone() // the caller's record may be shared with other handlers
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return LogHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h LogHandler) WithGroup(name string) slog.Handler { return LogHandler{h.Handler.WithGroup(name)} }

// StartMessage starts a span for one message of a socket. It begins a trace of its own,
// linked to the handshake's, because a trace that lasts as long as the socket is not
// useful. Keep the handshake's span context in wsmanager.Accept.Value:
//
//	OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
//		return wsmanager.Accept{Value: trace.SpanContextFromContext(r.Context())}, nil
//	},
//	OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
//		handshake, _ := wsmanager.Value[trace.SpanContext](c)
//		ctx, span := telemetry.StartMessage(c.Context(), tracer, "chat message", handshake)
//		defer span.End()
//		...
//	},
func StartMessage(ctx context.Context, tracer trace.Tracer, name string, handshake trace.SpanContext) (context.Context, trace.Span) {
	return tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(trace.Link{SpanContext: handshake}))
}

// Package telemetry is the recipe for OpenTelemetry with
// go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp.
//
// # Order
//
// [Instrument] is outermost. AccessLog and Recover inside get a request whose
// context has the span, so their records carry its trace id (see [LogHandler]),
// and the answers that Recover writes are in span and metrics. With Recover
// outside, a panic passes otelhttp by: the span has no status, and the request is
// in no metric. The same holds for a response that is broken off inside.
//
// # Routes
//
// Spans are named and metrics are labelled by the pattern of the endpoint, which
// has few values, never by the path, which has as many as clients like. otelhttp
// reads r.Pattern when the handlers have returned. http.ServeMux sets it, and
// package branch hands it up behind its prefix; but a component that copies the
// request (WithContext) keeps it from those above, unless it hands it up, too.
// Response.SetRoute has no such gap, and middleware.Endpoints sets both. Instrument
// takes the route, or else the pattern, and puts http.route on the span as well,
// which otelhttp does only for a pattern known beforehand. For an endpoint behind
// no ServeMux, such as a WebSocket manager, there is [Route].
//
// # WebSockets
//
// With wsmanager the handler returns as soon as the connection is handed over: the
// span is that of the handshake, with status 101, and durations are not those of
// sockets. For a handler that stays as long as its socket, keep upgrades out by
// otelhttp.WithFilter. What comes over the socket is no part of the request: see
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
	// TracerProvider and MeterProvider get spans and metrics. Default: the
	// global ones of package otel.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider

	// TrustTraceParent continues the trace that the request's traceparent names
	// (W3C Trace Context). Only behind something that sets or checks it:
	// strangers would choose trace ids and what is sampled. Default: each request
	// begins a trace of its own, linked to the one that it names.
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

// routed tells otelhttp which route the request took: r is the copy that otelhttp
// has made and looks at afterwards.
var routed = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	next.ServeHTTP(w, r)
	if route := res.Route(); route != "" {
		r.Pattern = route
	}
	if i := strings.IndexByte(r.Pattern, '/'); i >= 0 { // behind method and host
		trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("http.route", r.Pattern[i:]))
	}
})

// Route makes a component that names the route of the requests that run through
// it, unless a component below, such as middleware.Endpoints, names another.
//
//go:noinline
func Route(pattern string) pipeline.Middleware {
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		res.SetRoute(pattern)
		next.ServeHTTP(w, r)
	})
	return func(next http.Handler) http.Handler { return observed(next) }
}

// LogHandler adds trace_id and span_id to the records whose context has a span:
// those of AccessLog and Recover, and of slog.InfoContext in handlers. Below a
// Logger.WithGroup they are in the group.
type LogHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h LogHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record = record.Clone() // the caller's, which other handlers may share
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

// StartMessage starts a span for one message of a socket. It begins a trace of its
// own, linked to the handshake's: a trace as long as a socket is of no use. Keep
// the handshake's span context in wsmanager.Accept.Value:
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

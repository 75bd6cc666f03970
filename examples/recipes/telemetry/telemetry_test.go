package telemetry_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/speakingtube/speakingtube/branch"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/examples/recipes/telemetry"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// backend keeps spans and metrics in memory.
type backend struct {
	spans   *tracetest.SpanRecorder
	tracers *sdktrace.TracerProvider
	reader  *sdkmetric.ManualReader
	meters  *sdkmetric.MeterProvider
}

func newBackend() *backend {
	b := &backend{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	b.tracers = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(b.spans))
	b.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))
	return b
}

func (b *backend) options() telemetry.Options {
	return telemetry.Options{TracerProvider: b.tracers, MeterProvider: b.meters}
}

// ended waits for n spans: the client may have read the answer before they end.
func (b *backend) ended(t *testing.T, n int) []sdktrace.ReadOnlySpan {
	t.Helper()
	require.Eventually(t, func() bool { return len(b.spans.Ended()) >= n }, wstest.Patience, time.Millisecond)
	spans := b.spans.Ended()
	require.Len(t, spans, n)
	return spans
}

// points returns those of the durations' histogram. They are complete when the spans are.
func (b *backend) points(t *testing.T) []metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(t, b.reader.Collect(context.Background(), &rm))
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == "http.server.request.duration" {
				h, ok := m.Data.(metricdata.Histogram[float64])
				require.True(t, ok)
				return h.DataPoints
			}
		}
	}
	return nil
}

func attr(attrs []attribute.KeyValue, key string) string {
	i := slices.IndexFunc(attrs, func(kv attribute.KeyValue) bool { return string(kv.Key) == key })
	if i < 0 {
		return ""
	}
	return attrs[i].Value.String()
}

// items is a typical API: a ServeMux.
func items() http.Handler { return itemsMux() }

func itemsMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /items/{id}", rt.Text("item"))
	mux.HandleFunc("GET /panic/{id}", func(http.ResponseWriter, *http.Request) { panic("oops") })
	return mux
}

// replaceRequest is a component that gives the next handler another request.
func replaceRequest(next http.Handler) http.Handler {
	type key struct{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "v")))
	})
}

func TestRoutes(t *testing.T) {
	quiet := middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()})
	for _, tt := range []struct {
		name   string
		build  func(*pipeline.Builder)
		target string
		status int
		span   string
		route  string
	}{
		{"a ServeMux at the end", func(b *pipeline.Builder) { b.Run(items()) }, "/items/7", 200, "GET /items/{id}", "/items/{id}"},
		{"in a branch", func(b *pipeline.Builder) {
			b.Map("/api", func(b *pipeline.Builder) { b.Run(items()) })
		}, "/api/items/7", 200, "GET /api/items/{id}", "/api/items/{id}"},
		{"spelled otherwise", func(b *pipeline.Builder) {
			b.Map("/api", func(b *pipeline.Builder) { b.Run(items()) })
		}, "/API/items/7", 200, "GET /api/items/{id}", "/api/items/{id}"},
		{"in two branches, behind other components", func(b *pipeline.Builder) {
			b.Use(quiet, middleware.ResponseTime)
			b.Map("/a", func(b *pipeline.Builder) {
				b.UseWhen(branch.Method("GET"), func(b *pipeline.Builder) { b.Use(quiet) })
				b.Map("/b", func(b *pipeline.Builder) { b.Run(items()) })
			})
		}, "/a/b/items/7", 200, "GET /a/b/items/{id}", "/a/b/items/{id}"},
		{"a panic", func(b *pipeline.Builder) {
			b.Use(quiet).Map("/api", func(b *pipeline.Builder) { b.Run(items()) })
		}, "/api/panic/7", 500, "GET /api/panic/{id}", "/api/panic/{id}"},
		{"named by hand", func(b *pipeline.Builder) {
			b.Map("/ping", func(b *pipeline.Builder) { b.Use(telemetry.Route("/ping")).Run(rt.Text("pong")) })
		}, "/ping/whatever", 200, "GET /ping", "/ping"},
		{"behind a component that copies the request", func(b *pipeline.Builder) {
			b.Use(replaceRequest, telemetry.Route("/items")).Run(items())
		}, "/items/7", 200, "GET /items", "/items"},
		{"the same without help", func(b *pipeline.Builder) { b.Use(replaceRequest).Run(items()) }, "/items/7", 200, "GET", ""},
		{"Endpoints in a branch, behind a component that copies the request", func(b *pipeline.Builder) {
			b.Use(quiet).Map("/api", func(b *pipeline.Builder) { b.Use(replaceRequest, middleware.Endpoints(itemsMux())) })
		}, "/API/items/7", 200, "GET /api/items/{id}", "/api/items/{id}"},
		{"Endpoints, a panic", func(b *pipeline.Builder) {
			b.Use(quiet, replaceRequest, middleware.Endpoints(itemsMux()))
		}, "/panic/7", 500, "GET /panic/{id}", "/panic/{id}"},
		{"Endpoints, a miss", func(b *pipeline.Builder) { b.Use(middleware.Endpoints(itemsMux())) }, "/nowhere/7", 404, "GET", ""},
		{"no route", func(b *pipeline.Builder) { b.Run(items()) }, "/nowhere/7", 404, "GET", ""},
		{"a method that is not served", func(b *pipeline.Builder) { b.MapWhen(branch.Method("POST"), func(*pipeline.Builder) {}) }, "/x", 404, "GET", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, observed := range []bool{false, true} {
				for _, http2 := range []bool{false, true} {
					back := newBackend()
					app := pipeline.New()
					if observed {
						app.Use(middleware.ResponseTime)
					}
					app.Use(telemetry.Instrument(back.options()))
					tt.build(app)
					srv := rt.Serve(t, app.MustBuild(), http2)
					require.Equal(t, tt.status, rt.Do(t, srv, "GET", tt.target).StatusCode)

					span := back.ended(t, 1)[0]
					require.Equal(t, tt.span, span.Name())
					require.Equal(t, tt.route, attr(span.Attributes(), "http.route"))
					require.Equal(t, fmt.Sprint(tt.status), attr(span.Attributes(), "http.response.status_code"))
					require.Equal(t, tt.status >= 500, span.Status().Code == codes.Error)
					points := back.points(t)
					require.Len(t, points, 1)
					require.EqualValues(t, 1, points[0].Count)
					require.Equal(t, tt.route, attr(points[0].Attributes.ToSlice(), "http.route"))
					require.Equal(t, fmt.Sprint(tt.status), attr(points[0].Attributes.ToSlice(), "http.response.status_code"))
				}
			}
		})
	}
}

// There is one series, however many paths are requested.
func TestCardinality(t *testing.T) {
	back := newBackend()
	srv := rt.Serve(t, pipeline.New().Use(telemetry.Instrument(back.options())).
		Map("/api", func(b *pipeline.Builder) { b.Run(items()) }).MustBuild(), false)
	const n = 20
	for i := range n {
		rt.Do(t, srv, "GET", fmt.Sprintf("/api/items/%d", i))
	}
	back.ended(t, n)
	points := back.points(t)
	require.Len(t, points, 1)
	require.EqualValues(t, n, points[0].Count)
}

// The records of the request's components carry the trace.
func TestLogs(t *testing.T) {
	back := newBackend()
	logs := &rt.Logs{}
	logger := slog.New(telemetry.LogHandler{Handler: logs.Handler()})
	h := pipeline.New().
		Use(telemetry.Instrument(back.options())).
		Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logger})).
		Use(middleware.Recover(middleware.RecoverOptions{Logger: logger})).
		RunFunc(func(w http.ResponseWriter, r *http.Request) {
			logger.With("a", 1).InfoContext(r.Context(), "handled")
			logger.WithGroup("g").InfoContext(r.Context(), "grouped")
			logger.Info("no context")
			panic("oops")
		}).MustBuild()
	srv := rt.Serve(t, h, false)
	require.Equal(t, 500, rt.Do(t, srv, "GET", "/").StatusCode)
	span := back.ended(t, 1)[0].SpanContext()
	records := logs.Wait(t, 5)
	byMessage := map[string]map[string]any{}
	for _, rec := range records {
		byMessage[rec["msg"].(string)] = rec
		if rec["msg"] != "grouped" && rec["msg"] != "no context" {
			require.Equal(t, span.TraceID().String(), rec["trace_id"], rec)
			require.Equal(t, span.SpanID().String(), rec["span_id"], rec)
		}
	}
	require.Contains(t, byMessage, "request")
	require.NotContains(t, byMessage["no context"], "trace_id")
	require.Equal(t, span.TraceID().String(), byMessage["grouped"]["g"].(map[string]any)["trace_id"])
	require.EqualValues(t, 1, byMessage["handled"]["a"])
	require.EqualValues(t, 500, byMessage["request"]["response"].(map[string]any)["status"])
}

func TestTraceParent(t *testing.T) {
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, trust := range []bool{false, true} {
		t.Run(fmt.Sprintf("trust=%v", trust), func(t *testing.T) {
			back := newBackend()
			opts := back.options()
			opts.TrustTraceParent = trust
			srv := rt.Serve(t, pipeline.New().Use(telemetry.Instrument(opts)).MustBuild(), false)
			rt.Do(t, srv, "GET", "/", "Traceparent", theirs)
			span := back.ended(t, 1)[0]
			if trust {
				require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
				require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
				return
			}
			require.NotEqual(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
			require.Len(t, span.Links(), 1)
			require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.Links()[0].SpanContext.TraceID().String())
		})
	}
}

// With Recover outside the answer is in no span and no metric.
func TestRecoverOutside(t *testing.T) {
	back := newBackend()
	srv := rt.Serve(t, pipeline.New().
		Use(middleware.Recover(middleware.RecoverOptions{Logger: rt.Quiet()}), telemetry.Instrument(back.options())).
		Run(items()).MustBuild(), false)
	require.Equal(t, 500, rt.Do(t, srv, "GET", "/panic/7").StatusCode)
	require.Empty(t, attr(back.ended(t, 1)[0].Attributes(), "http.response.status_code"))
	require.Empty(t, back.points(t))
}

// Streams and file copies are observed too.
func TestOtherDoors(t *testing.T) {
	for name, f := range map[string]http.HandlerFunc{
		"ReadFrom": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader(strings.Repeat("x", 5000)))
		},
		"Flush": func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
		},
		"nothing": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan rt.Seen, 1)
			back := newBackend()
			h := pipeline.New().Use(rt.Watch(seen), telemetry.Instrument(back.options())).RunFunc(f).MustBuild()
			rt.Both(t, func() http.Handler { return h }, func(t *testing.T, srv *httptest.Server) {
				res := rt.Do(t, srv, "GET", "/")
				require.Equal(t, 200, res.StatusCode)
				require.Equal(t, rt.Seen{Starts: []int{200}, Status: 200, Bytes: int64(len(res.Text))}, rt.Receive(t, seen))
			})
			require.Equal(t, "200", attr(back.ended(t, 2)[1].Attributes(), "http.response.status_code"))
		})
	}
}

// The span of a handshake has the status 101 and ends while the socket is open; no duration
// includes the socket's life.
func TestWebSockets(t *testing.T) {
	back := newBackend()
	tracer := back.tracers.Tracer("test")
	chat := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			if r.Header.Get("X-Refuse") != "" {
				return wsmanager.Accept{}, wsmanager.Reject(http.StatusForbidden, "no")
			}
			return wsmanager.Accept{Value: trace.SpanContextFromContext(r.Context())}, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			handshake, _ := wsmanager.Value[trace.SpanContext](c)
			_, span := telemetry.StartMessage(c.Context(), tracer, "message", handshake)
			defer span.End()
			return c.Send(m)
		},
	}, wsmanager.Options{Logger: rt.Quiet()})
	t.Cleanup(func() { _ = chat.Shutdown(t.Context()) })
	logs := &rt.Logs{}
	srv := rt.Serve(t, pipeline.New().
		Use(telemetry.Instrument(back.options())).
		Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: slog.New(telemetry.LogHandler{Handler: logs.Handler()})})).
		Use(middleware.RequestID(middleware.RequestIDOptions{})).
		Map("/ws", func(b *pipeline.Builder) { b.Use(telemetry.Route("/ws")).Run(chat) }).
		MustBuild(), false)

	c := wstest.Dial(t, srv.URL+"/ws", nil)
	require.NotEmpty(t, c.Response.Header.Get("X-Request-Id"))
	handshake := back.ended(t, 1)[0]
	require.Equal(t, "GET /ws", handshake.Name())
	require.Equal(t, "101", attr(handshake.Attributes(), "http.response.status_code"))
	require.NotEqual(t, codes.Error, handshake.Status().Code)
	points := back.points(t)
	require.Len(t, points, 1, "measured, with the socket still open")
	require.EqualValues(t, 1, points[0].Count)
	require.Equal(t, "101", attr(points[0].Attributes.ToSlice(), "http.response.status_code"))
	record := logs.Wait(t, 1)[0]
	require.Equal(t, handshake.SpanContext().TraceID().String(), record["trace_id"])
	require.EqualValues(t, 101, record["response"].(map[string]any)["status"])
	require.Equal(t, true, record["response"].(map[string]any)["upgraded"])
	require.Equal(t, "/ws", record["request"].(map[string]any)["route"])

	rt.ExpectEcho(c)
	message := back.ended(t, 2)[1]
	require.Equal(t, "message", message.Name())
	require.NotEqual(t, handshake.SpanContext().TraceID(), message.SpanContext().TraceID())
	require.Equal(t, handshake.SpanContext().TraceID(), message.Links()[0].SpanContext.TraceID())
	require.Len(t, back.points(t), 1)
	require.EqualValues(t, 1, back.points(t)[0].Count, "the end of the socket is not a request")

	req := wstest.Request(t, srv.URL+"/ws")
	req.Header.Set("X-Refuse", "1")
	require.Equal(t, 403, wstest.Handshake(t, req, nil).Response.StatusCode)
	require.Equal(t, "403", attr(back.ended(t, 3)[2].Attributes(), "http.response.status_code"))
}

package recipes

import (
	_ "github.com/go-chi/chi/v5"
	_ "github.com/jub0bs/cors"
	_ "github.com/justinas/alice"
	_ "github.com/klauspost/compress/gzhttp"
	_ "github.com/urfave/negroni/v3"
	_ "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/attribute"
	_ "go.opentelemetry.io/otel/sdk/metric"
	_ "go.opentelemetry.io/otel/sdk/metric/metricdata"
	_ "go.opentelemetry.io/otel/sdk/trace/tracetest"
	_ "go.opentelemetry.io/otel/trace"
	_ "golang.org/x/time/rate"
)

package telemetry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/speakingtube/speakingtube/examples/recipes/telemetry"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func Example() {
	spans := tracetest.NewSpanRecorder() // a real service has an exporter here
	app := pipeline.New().
		Use(telemetry.Instrument(telemetry.Options{
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
		})).
		Use(middleware.Recover(middleware.RecoverOptions{})).
		Map("/api", func(b *pipeline.Builder) { b.Run(items()) }).
		MustBuild()
	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/items/7", nil))
	fmt.Println(spans.Ended()[0].Name())
	// Output: GET /api/items/{id}
}

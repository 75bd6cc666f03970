package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// One list of checks, one endpoint for each purpose. A process is restarted if it is not
// live, and gets no requests while it is not ready.
func ExampleHealthChecks() {
	checks := []*middleware.HealthCheck{
		{Name: "database", Tags: []string{"ready"}, Check: middleware.Ping(func(context.Context) error {
			return errors.New("dial tcp 10.0.0.3:5432: connection refused")
		})},
		{Name: "disk", Check: func(context.Context) (middleware.HealthResult, error) {
			return middleware.HealthResult{Status: middleware.Degraded, Description: "93 % full"}, nil
		}},
	}
	quiet := slog.New(slog.DiscardHandler)
	app := pipeline.New().Use(
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/live"}),
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/ready", Checks: checks, Tags: []string{"ready"}, Logger: quiet}),
		middleware.HealthChecks(middleware.HealthChecksOptions{
			Path: "/health", Checks: checks, Logger: quiet,
			Render: func(_ *http.Request, report middleware.HealthReport) (string, []byte, error) {
				body := fmt.Sprintln("overall:", report.Status)
				for _, c := range report.Checks {
					body += fmt.Sprintf("%s: %s %q\n", c.Name, c.Status, c.Description)
				}
				return "text/plain; charset=utf-8", []byte(body), nil
			},
		}),
	)
	h := app.MustBuild()
	for _, path := range []string{"/live", "/ready", "/health"} {
		show(h, path)
		fmt.Println()
	}
	// Output:
	// 200 Healthy
	// 503 Unhealthy
	// 503 overall: Unhealthy
	// database: Unhealthy ""
	// disk: Degraded "93 % full"
}

// The classic mistake: a tag that no check has would make the endpoint always Healthy.
// Build reports it.
func ExampleHealthChecks_unknownTag() {
	app := pipeline.New().Use(middleware.HealthChecks(middleware.HealthChecksOptions{
		Path:   "/ready",
		Checks: []*middleware.HealthCheck{{Name: "database", Tags: []string{"ready"}, Check: middleware.Ping(func(context.Context) error { return nil })}},
		Tags:   []string{"raedy"},
	}))
	_, err := app.Build()
	var config *pipeline.ConfigError
	fmt.Println(errors.As(err, &config))
	fmt.Println(config.Problem)
	// Output:
	// true
	// no check has the tag "raedy": add it to one, or leave Tags and Checks empty for an endpoint that only shows that the service answers
}

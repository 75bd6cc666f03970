package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// constantCheck returns a check that always has the given status.
func constantCheck(name string, s middleware.HealthStatus, tags ...string) *middleware.HealthCheck {
	return &middleware.HealthCheck{Name: name, Tags: tags, Check: func(context.Context) (middleware.HealthResult, error) {
		return middleware.HealthResult{Status: s}, nil
	}}
}

func failingCheck(name string, err error) *middleware.HealthCheck {
	return &middleware.HealthCheck{Name: name, Check: middleware.Ping(func(context.Context) error { return err })}
}

// health returns the endpoint in front of a handler that answers "next".
func health(opts middleware.HealthChecksOptions) http.Handler {
	if opts.Logger == nil {
		opts.Logger = silent
	}
	if opts.Path == "" {
		opts.Path = "/health"
	}
	return middleware.HealthChecks(opts)(text("next"))
}

func probe(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

// entries parses the checks of a JSON report.
func entries(t *testing.T, w *httptest.ResponseRecorder) map[string]map[string]any {
	t.Helper()
	var report struct{ Checks map[string]map[string]any }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &report), "%s", w.Body)
	return report.Checks
}

func TestHealthChecksVerdict(t *testing.T) {
	const h, d, u = middleware.Healthy, middleware.Degraded, middleware.Unhealthy
	softly := failingCheck("soft", errors.New("x"))
	softly.FailureStatus = d
	for _, tt := range []struct {
		name   string
		checks []*middleware.HealthCheck
		code   int
		body   string
	}{
		{"no checks", nil, 200, "Healthy"},
		{"all healthy", []*middleware.HealthCheck{constantCheck("a", h), constantCheck("b", h)}, 200, "Healthy"},
		{"one degraded", []*middleware.HealthCheck{constantCheck("a", h), constantCheck("b", d), constantCheck("c", h)}, 200, "Degraded"},
		{"the worst wins", []*middleware.HealthCheck{constantCheck("a", d), constantCheck("b", u), constantCheck("c", h)}, 503, "Unhealthy"},
		{"an error is unhealthy", []*middleware.HealthCheck{failingCheck("a", errors.New("x"))}, 503, "Unhealthy"},
		{"an error of a part that is optional", []*middleware.HealthCheck{softly}, 200, "Degraded"},
		{"no error", []*middleware.HealthCheck{failingCheck("a", nil)}, 200, "Healthy"},
		{"an invalid status", []*middleware.HealthCheck{constantCheck("a", 7)}, 503, "Unhealthy"},
		{"a negative status", []*middleware.HealthCheck{constantCheck("a", -1)}, 503, "Unhealthy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBothProtocols(t, health(middleware.HealthChecksOptions{Checks: tt.checks}), func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/health")
				require.NoError(t, err)
				require.Equal(t, tt.code, res.StatusCode)
				require.Equal(t, tt.body, body)
				require.Equal(t, "text/plain; charset=utf-8", res.Header.Get("Content-Type"))
				require.Equal(t, "no-store, no-cache", res.Header.Get("Cache-Control"))
				require.Equal(t, "no-cache", res.Header.Get("Pragma"))
				require.Equal(t, "Thu, 01 Jan 1970 00:00:00 GMT", res.Header.Get("Expires"))
			})
		})
	}
}

func TestHealthChecksPath(t *testing.T) {
	root := middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/"})(text("next"))
	h := health(middleware.HealthChecksOptions{})
	inside := pipeline.New().Map("/admin", func(b *pipeline.Builder) {
		b.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health"}))
		b.Map("/status", func(b *pipeline.Builder) { b.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/"})) })
		b.Run(text("next"))
	}).MustBuild()
	for _, tt := range []struct {
		name   string
		h      http.Handler
		target string
		want   string
	}{
		{"exactly", h, "/health", "Healthy"},
		{"a slash at the end", h, "/health/", "Healthy"},
		{"case", h, "/HEALTH", "Healthy"},
		{"query", h, "/health?x", "Healthy"},
		{"escaped letters", h, "/%68ealth", "Healthy"},
		{"below", h, "/health/detailed", "next"},
		{"longer", h, "/healthy", "next"},
		{"shorter", h, "/heal", "next"},
		{"only ASCII letters fold", health(middleware.HealthChecksOptions{Path: "/k"}), "/%E2%84%AA", "next"},
		{"unclean: slashes", h, "//health//", "Healthy"},
		{"unclean: dots", h, "/x/../health", "Healthy"},
		{"unclean and elsewhere", h, "/health/../x", "next"},
		{"root", root, "/", "Healthy"},
		{"root only", root, "/x", "next"},
		{"in a branch", inside, "/admin/health", "Healthy"},
		{"in a branch, elsewhere", inside, "/admin", "next"},
		{"a branch of its own", inside, "/admin/status", "Healthy"},
		{"a branch of its own, slash", inside, "/admin/status/", "Healthy"},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, probe(tt.h, tt.target).Body.String()) })
	}
}

// The order of endpoints does not matter, because each handles only its own path.
func TestHealthChecksSideBySide(t *testing.T) {
	checks := []*middleware.HealthCheck{
		constantCheck("process", middleware.Healthy, "live", "ready"),
		constantCheck("cache", middleware.Degraded, "ready"),
		constantCheck("db", middleware.Unhealthy, "ready", "slow"),
	}
	app := pipeline.New().Use(
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health", Checks: checks, Logger: silent}),
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health/live", Checks: checks, Tags: []string{"live"}, Logger: silent}),
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health/ready", Checks: checks, Tags: []string{"ready", "slow"}, JSON: true, Logger: silent}),
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health/quick", Checks: checks, Tags: []string{"ready"},
			Filter: func(c *middleware.HealthCheck) bool { return c.Name != "db" }, Logger: silent}),
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health/none", Checks: checks, Filter: func(*middleware.HealthCheck) bool { return false }}),
	)
	h := app.MustBuild()
	require.Equal(t, "Unhealthy", probe(h, "/health").Body.String())
	require.Equal(t, "Healthy", probe(h, "/health/live").Body.String())
	require.Len(t, entries(t, probe(h, "/health/ready")), 3)
	require.Equal(t, "Degraded", probe(h, "/health/quick").Body.String())
	require.Equal(t, "Healthy", probe(h, "/health/none").Body.String())
	require.Contains(t, app.String(), "middleware.HealthChecks")
}

func TestHealthChecksPort(t *testing.T) {
	var endpoint http.Handler
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { endpoint.ServeHTTP(w, r) })
	public, admin := httptest.NewServer(h), httptest.NewServer(h)
	defer public.Close()
	defer admin.Close()
	port := func(srv *httptest.Server) int { return srv.Listener.Addr().(*net.TCPAddr).Port }
	endpoint = health(middleware.HealthChecksOptions{Port: port(admin)})
	for _, tt := range []struct {
		name   string
		srv    *httptest.Server
		claims int
		want   string
	}{
		{"the port", admin, port(admin), "Healthy"},
		{"the port, whatever the Host claims", admin, port(public), "Healthy"},
		{"another port", public, port(public), "next"},
		{"another port that claims to be it", public, port(admin), "next"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.srv.URL+"/health", nil)
			require.NoError(t, err)
			req.Host = fmt.Sprintf("127.0.0.1:%d", tt.claims)
			res, err := tt.srv.Client().Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(body))
		})
	}
	require.Equal(t, "next", probe(endpoint, "/health").Body.String(), "no server, no port")
}

func TestHealthChecksMethods(t *testing.T) {
	overBothProtocols(t, health(middleware.HealthChecksOptions{JSON: true}), func(t *testing.T, srv *httptest.Server) {
		for _, tt := range []struct {
			method string
			code   int
			body   bool
		}{{http.MethodGet, 200, true}, {http.MethodHead, 200, false}, {http.MethodPost, 405, true}, {http.MethodOptions, 405, true}} {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+"/health", nil)
			require.NoError(t, err)
			res, err := srv.Client().Do(req)
			require.NoError(t, err)
			n, err := res.Body.Read(make([]byte, 10))
			require.Equal(t, tt.body, n > 0, tt.method)
			if !tt.body {
				require.ErrorContains(t, err, "EOF")
				require.NotEqual(t, "0", res.Header.Get("Content-Length"), "that of a GET")
			}
			require.NoError(t, res.Body.Close())
			require.Equal(t, tt.code, res.StatusCode, tt.method)
			require.Equal(t, "no-store, no-cache", res.Header.Get("Cache-Control"), tt.method)
			if tt.code == 405 {
				require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
			}
		}
	})
}

func TestHealthChecksStatusCodes(t *testing.T) {
	codes := middleware.HealthStatusCodes{Healthy: 204, Degraded: 218, Unhealthy: 500}
	for s, want := range map[middleware.HealthStatus]int{middleware.Healthy: 204, middleware.Degraded: 218, middleware.Unhealthy: 500} {
		w := probe(health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{constantCheck("a", s)}, StatusCodes: codes}), "/health")
		require.Equal(t, want, w.Code)
		require.Equal(t, want == 204, w.Body.Len() == 0)
	}
}

func TestHealthChecksAllowCaching(t *testing.T) {
	w := probe(health(middleware.HealthChecksOptions{AllowCaching: true}), "/health")
	for _, name := range []string{"Cache-Control", "Pragma", "Expires"} {
		require.Empty(t, w.Header().Get(name))
	}
}

func TestHealthChecksJSON(t *testing.T) {
	secret := errors.New("dial tcp 10.1.2.3: password hunter2 refused")
	checks := []*middleware.HealthCheck{
		{Name: "disk", Tags: []string{"ready"}, Check: func(context.Context) (middleware.HealthResult, error) {
			return middleware.HealthResult{Status: middleware.Degraded, Description: "nearly full", Data: map[string]any{"free": 7}}, nil
		}},
		failingCheck("db", secret),
		{Name: "half", Check: func(context.Context) (middleware.HealthResult, error) {
			return middleware.HealthResult{Description: "two of three nodes", Data: map[string]any{"nodes": 2}}, secret
		}},
		{Name: "odd", Check: func(context.Context) (middleware.HealthResult, error) {
			return middleware.HealthResult{Data: map[string]any{"x": math.NaN()}}, nil
		}},
	}
	var log logs
	w := probe(health(middleware.HealthChecksOptions{Checks: checks, JSON: true, Logger: log.logger()}), "/health")
	require.Equal(t, 503, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.NotContains(t, w.Body.String(), "hunter2")
	require.True(t, strings.HasPrefix(w.Body.String(), `{"status":"Unhealthy","durationMs":`), w.Body)
	got := entries(t, w)
	for _, e := range got {
		require.IsType(t, 0.0, e["durationMs"])
		_, err := time.Parse(time.RFC3339Nano, e["checkedAt"].(string))
		require.NoError(t, err)
		delete(e, "durationMs")
		delete(e, "checkedAt")
	}
	require.Equal(t, map[string]map[string]any{
		"disk": {"status": "Degraded", "description": "nearly full", "data": map[string]any{"free": 7.0}, "tags": []any{"ready"}},
		"db":   {"status": "Unhealthy"},
		"half": {"status": "Unhealthy", "description": "two of three nodes", "data": map[string]any{"nodes": 2.0}},
		"odd":  {"status": "Healthy"},
	}, got)

	said := map[string]map[string]any{}
	for _, rec := range log.records(t) {
		said[fmt.Sprint(rec["check"], " ", rec["msg"])] = rec
	}
	require.Contains(t, said["db health check"]["err"], "hunter2", "the log has it")
	require.Equal(t, "ERROR", said["db health check"]["level"])
	require.Equal(t, "WARN", said["disk health check"]["level"])
	require.Contains(t, said["odd the data of a health check can't be encoded as JSON and is left out"]["err"], "NaN")

	w = probe(health(middleware.HealthChecksOptions{Checks: checks, JSON: true, DangerouslyShowErrors: true}), "/health")
	require.Equal(t, secret.Error(), entries(t, w)["db"]["error"])
}

func TestHealthChecksRender(t *testing.T) {
	render := func(r *http.Request, rep middleware.HealthReport) (string, []byte, error) {
		if r.URL.Query().Has("broken") {
			return "text/html", []byte("half"), errors.New("no template")
		}
		body, err := json.Marshal(rep)
		if err != nil {
			return "", nil, err
		}
		return "application/health+json", body, nil
	}
	bad := constantCheck("a", middleware.Unhealthy)
	var log logs
	h := health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{bad}, Render: render, Logger: log.logger()})
	w := probe(h, "/health")
	require.Equal(t, 503, w.Code, "the status is not its business")
	require.Equal(t, "application/health+json", w.Header().Get("Content-Type"))
	require.Equal(t, "Unhealthy", entries(t, w)["a"]["status"])
	w = probe(h, "/health?broken")
	require.Equal(t, 503, w.Code)
	require.Equal(t, "Unhealthy", w.Body.String())
	require.Contains(t, log.buf.String(), "no template")

	_, err := json.Marshal(middleware.HealthReport{Checks: []middleware.HealthEntry{{Name: "a", Data: map[string]any{"x": func() {}}}}})
	require.ErrorContains(t, err, `the data of the check "a"`)
}

func TestHealthChecksContext(t *testing.T) {
	c := &middleware.HealthCheck{Name: "a", Timeout: time.Minute, Check: func(ctx context.Context) (middleware.HealthResult, error) {
		deadline, ok := ctx.Deadline()
		return middleware.HealthResult{Description: fmt.Sprint(ctx.Value(traceKey{}), ok && time.Until(deadline) <= time.Minute)}, nil
	}}
	ctx := context.WithValue(t.Context(), traceKey{}, "trace-1 ")
	w := httptest.NewRecorder()
	health(middleware.HealthChecksOptions{Checks: []*middleware.HealthCheck{c}, JSON: true}).
		ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/health", nil))
	require.Equal(t, "trace-1 true", entries(t, w)["a"]["description"])
}

func TestHealthChecksSetsTheRoute(t *testing.T) {
	var route string
	app := pipeline.New().Use(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
		route = res.Route()
	}))
	app.Map("/admin", func(b *pipeline.Builder) {
		b.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health"}))
	})
	probe(app.MustBuild(), "/admin/health/")
	require.Equal(t, "/admin/health", route)
}

func TestHealthChecksMistakes(t *testing.T) {
	ok := func(context.Context) (middleware.HealthResult, error) { return middleware.HealthResult{}, nil }
	_, err := pipeline.New().Use(middleware.HealthChecks(middleware.HealthChecksOptions{
		Port: 70000,
		Checks: []*middleware.HealthCheck{
			nil,
			{Check: ok},
			{Name: "db", Check: middleware.Ping(nil)},
			{Name: "DB", Check: ok, Timeout: -1, MaxAge: -2, FailureStatus: 9},
		},
		Tags:                  []string{"redy"},
		StatusCodes:           middleware.HealthStatusCodes{Healthy: 200, Degraded: 101},
		DangerouslyShowErrors: true,
	})).Build()
	var config *pipeline.ConfigError
	require.ErrorAs(t, err, &config)
	require.Equal(t, "middleware.HealthChecks", config.Component)
	for _, want := range []string{
		`Path is empty`, `Port is 70000`, `Checks[0] is nil`, `Checks[1] has no Name`, `Checks[2] ("db") has a nil Check`,
		`Checks[3] ("DB") has the name of Checks[2]`, `has the Timeout -1ns`, `has the MaxAge -2ns`, `has the FailureStatus 9`,
		`no check has the tag "redy"`, `StatusCodes has no code for Unhealthy`, `StatusCodes has 101 for Degraded`,
		`DangerouslyShowErrors is set without JSON`,
	} {
		require.Contains(t, config.Problem, want)
	}
	for name, opts := range map[string]middleware.HealthChecksOptions{
		`begin with a slash`:                         {Path: "health"},
		`which also answers with a slash at the end`: {Path: "/health/"},
		`JSON and Render are both set`:               {Path: "/h", JSON: true, Render: func(*http.Request, middleware.HealthReport) (string, []byte, error) { return "", nil, nil }},
		`Port is -1`:                                 {Path: "/h", Port: -1},
	} {
		_, err := pipeline.New().Use(middleware.HealthChecks(opts)).Build()
		require.ErrorContains(t, err, name)
	}
}

// Later changes to the caller's options have no effect.
func TestHealthChecksOptionsAreCopied(t *testing.T) {
	tags := []string{"ready"}
	checks := []*middleware.HealthCheck{constantCheck("a", middleware.Degraded, "ready")}
	h := health(middleware.HealthChecksOptions{Checks: checks, Tags: tags, JSON: true})
	checks[0].Tags[0], tags[0] = "x", "x"
	checks[0] = nil
	require.Equal(t, []any{"ready"}, entries(t, probe(h, "/health"))["a"]["tags"])
}

func TestHealthStatusText(t *testing.T) {
	require.Equal(t, "HealthStatus(9)", middleware.HealthStatus(9).String())
}

// The root of a branch is not the root of the site.
func TestHealthChecksOnTheRootOfABranch(t *testing.T) {
	h := branch.Map("/a", middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/"})(text("below")))(text("main"))
	require.Equal(t, "Healthy", probe(h, "/a").Body.String())
	require.Equal(t, "below", probe(h, "/a/b").Body.String())
	require.Equal(t, "main", probe(h, "/").Body.String())
}

package middleware

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/pathguard"
	"github.com/speakingtube/speakingtube/pipeline"
)

// HealthChecksOptions configure [HealthChecks].
type HealthChecksOptions struct {
	// Path is the path of the report: exactly this path, with or without a trailing slash,
	// ignoring the case of ASCII letters; inside a branch, the rest of the path. Requests
	// for paths below it are passed to the next handler. The answer is 400 if an escaped
	// slash decides. Required; "/" is the root.
	Path string

	// Port, if set, limits the endpoint to requests on that local TCP port: the port that
	// the server listens on, not the one in the Host header. A management port that is not
	// publicly reachable keeps the report private. Default: 0, any port.
	Port int

	// Checks lists the checks, which run concurrently. Default: none, and the service is
	// Healthy if it answers: this is right for a liveness probe, whose failure restarts the
	// process. You can pass the same slice to several endpoints and select with Tags.
	Checks []*HealthCheck

	// Tags, if any, select the checks that have at least one of them. A tag that no check
	// has is a mistake, because the endpoint could always be Healthy.
	Tags []string

	// Filter, if set, selects from the checks that Tags selected. It is called once for
	// each check when the pipeline is built, never for a request. It may select none.
	Filter func(*HealthCheck) bool

	// StatusCodes are the response statuses: all three, or none for the defaults 200, 200
	// and 503.
	StatusCodes HealthStatusCodes

	// JSON sends the report as JSON: the overall status and, for each check by name, its
	// status, description, duration, time, tags and data. Default: the name of the overall
	// status as plain text.
	JSON bool

	// DangerouslyShowErrors adds the texts of the checks' errors to the JSON. They may
	// reveal hosts, users and statements: use it only for an endpoint that is not publicly
	// reachable. The log has them in any case.
	DangerouslyShowErrors bool

	// Render makes the body, instead of JSON and text. It does not influence status, length
	// and cache headers. If it returns an error, that is logged and the plain text is sent.
	Render func(r *http.Request, report HealthReport) (contentType string, body []byte, err error)

	// AllowCaching omits the headers that prevent caches from storing the answer:
	// Cache-Control, Pragma and Expires. A cached status may be outdated.
	// HealthCheck.MaxAge is a safer way to save work.
	AllowCaching bool

	// Logger gets a record for each run of a check, with the error's text: level Error if
	// Unhealthy, Warn if Degraded, Debug if Healthy. A run that two endpoints share is
	// logged by the one that started it. Default: slog.Default(), evaluated at each
	// request.
	Logger *slog.Logger
}

// HealthStatusCodes are the response statuses for the health statuses.
type HealthStatusCodes struct{ Healthy, Degraded, Unhealthy int }

var defaultHealthStatusCodes = HealthStatusCodes{http.StatusOK, http.StatusOK, http.StatusServiceUnavailable}

func (c HealthStatusCodes) of(s HealthStatus) int {
	switch s {
	case Healthy:
		return c.Healthy
	case Degraded:
		return c.Degraded
	}
	return c.Unhealthy
}

// HealthChecks reports the health of the service on one path: it runs the checks, each in a
// goroutine of its own with its own timeout, and the worst status counts. All other
// requests are passed to the next handler without cost.
//
// GET and HEAD are answered, other methods get a 405. (ASP.NET Core's UseHealthChecks, to
// which it corresponds, answers any method.) Probes that arrive during a run share its
// result, so many concurrent probes cost no more than one; a check that hangs is reported
// as failed immediately until it has returned, and uses no more than one goroutine.
//
// If a request ends before its checks, the answer is still written, with these checks
// counted as failed: a component above may have ended the request while the client still
// waits.
//
// Separate the endpoint that restarts a process (/live: no checks, or only of the process
// itself) from the one that removes it from the load balancer (/ready: databases and other
// services). Otherwise an outage of the database restarts every service that uses it.
//
//go:noinline
func HealthChecks(opts HealthChecksOptions) pipeline.Middleware {
	var bad configProblems
	h := newHealthEndpoint(opts, &bad)
	return func(next http.Handler) http.Handler {
		bad.report("middleware.HealthChecks")
		mine := *h
		mine.next = next
		return &mine
	}
}

type healthEndpoint struct {
	path   string // without a trailing slash: "" is the root
	port   int    // 0 for any
	onPort branch.Predicate
	probes []*probe
	codes  HealthStatusCodes
	render func(*http.Request, HealthReport) (string, []byte, error)
	cached bool
	logger *slog.Logger
	next   http.Handler
}

func newHealthEndpoint(opts HealthChecksOptions, bad *configProblems) *healthEndpoint {
	h := &healthEndpoint{
		path:   strings.TrimSuffix(opts.Path, "/"),
		codes:  opts.StatusCodes,
		render: opts.Render,
		cached: opts.AllowCaching,
		logger: opts.Logger,
	}
	if opts.Path == "" {
		bad.addf(`Path is empty: set it, for example to "/health"`)
	} else if p := strings.TrimRight(opts.Path, "/"); p != opts.Path && p != "" {
		bad.addf("Path is %q: write %q, which also answers with a slash at the end", opts.Path, p)
	} else if opts.Path != "/" {
		if err := branch.CheckPrefix(opts.Path); err != nil {
			bad.addf("Path: %v", err)
		}
	}
	if opts.Port < 0 || opts.Port > 65535 {
		bad.addf("Port is %d: it must be between 1 and 65535, or 0 for any", opts.Port)
	} else if opts.Port > 0 {
		h.port, h.onPort = opts.Port, branch.Port(opts.Port)
	}

	if h.codes == (HealthStatusCodes{}) {
		h.codes = defaultHealthStatusCodes
	}
	for s := Healthy; s <= Unhealthy; s++ {
		switch code := h.codes.of(s); {
		case code == 0:
			bad.addf("StatusCodes has no code for %s: set all three, or none for 200, 200 and 503", s)
		case code < 200 || code > 599:
			bad.addf("StatusCodes has %d for %s: it must be between 200 and 599", code, s)
		}
	}
	if opts.JSON && opts.Render != nil {
		bad.addf("JSON and Render are both set: one body is sent, leave out one of them")
	}
	if opts.DangerouslyShowErrors && !opts.JSON {
		bad.addf("DangerouslyShowErrors is set without JSON and would have no effect: leave it out, or set JSON")
	}
	if opts.JSON {
		h.render = h.renderJSON(opts.DangerouslyShowErrors)
	}
	h.choose(opts, bad)
	return h
}

// choose stores the checks that Tags and Filter select.
func (h *healthEndpoint) choose(opts HealthChecksOptions, bad *configProblems) {
	names := map[string]int{}
	tagged := map[string]bool{}
	for i, c := range opts.Checks {
		c.problems(i, names, bad)
		if c == nil {
			continue
		}
		for _, tag := range c.Tags {
			tagged[tag] = true
		}
		if len(opts.Tags) > 0 && !slices.ContainsFunc(c.Tags, func(tag string) bool { return slices.Contains(opts.Tags, tag) }) {
			continue
		}
		if opts.Filter != nil && !opts.Filter(c) {
			continue
		}
		p := &probe{name: c.Name, tags: slices.Clone(c.Tags), check: c.Check, timeout: c.Timeout, failure: c.FailureStatus, maxAge: c.MaxAge, healthState: &c.state}
		if p.timeout == 0 {
			p.timeout = defaultHealthTimeout
		}
		if p.failure == Healthy {
			p.failure = Unhealthy
		}
		h.probes = append(h.probes, p)
	}
	for _, tag := range opts.Tags {
		if !tagged[tag] {
			bad.addf("no check has the tag %q: add it to one, or leave Tags and Checks empty for an endpoint that only shows that the service answers", tag)
		}
	}
}

func (h *healthEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	matches := h.matches(r)
	if matches && pathguard.EscapedSlash(r.URL) {
		// With the slash as data, a segment has a slash and the path is another one.
		if !pathguard.From(r).Data {
			pathguard.Refuse(w, r, http.StatusBadRequest, pathguard.Ambiguous)
			return
		}
		matches = false
	}
	if !matches {
		h.next.ServeHTTP(w, r)
		return
	}
	if res, ok := pipeline.ResponseFrom(r.Context()); ok {
		res.SetRoute(httpx.RouteBelow(branch.PathBase(r), "/"+strings.TrimPrefix(h.path, "/")))
	}
	header := w.Header()
	if !h.cached {
		header.Set("Cache-Control", "no-store, no-cache")
		header.Set("Pragma", "no-cache")
		header.Set("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	logger := h.logger
	if logger == nil {
		logger = slog.Default()
	}
	report := h.report(r, logger)
	contentType, body := "text/plain; charset=utf-8", []byte(report.Status.String())
	if h.render != nil {
		ct, b, err := h.render(r, report)
		if err != nil {
			logger.LogAttrs(r.Context(), slog.LevelError, "a health report could not be rendered", slog.String("err", err.Error()))
		} else {
			contentType, body = ct, b
		}
	}
	code := h.codes.of(report.Status)
	if code == http.StatusNoContent || code == http.StatusNotModified { // these have no body
		w.WriteHeader(code)
		return
	}
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}

// matches compares the whole path by the rules of branch.Map, which has no exact form:
// /health must not match /health/detailed.
func (h *healthEndpoint) matches(r *http.Request) bool {
	p := r.URL.Path
	if !branch.IsClean(p) {
		p = path.Clean("/" + p)
	}
	p = strings.TrimSuffix(p, "/")
	return len(p) == len(h.path) && branch.Covers(h.path, p) && (h.onPort == nil || h.onPort(r))
}

// OnePath returns what the endpoint answers, so that Build finds a second one for the same
// path.
func (h *healthEndpoint) OnePath() (path string, port int) { return h.path, h.port }

// report runs all checks concurrently. A single check needs no further goroutine to wait
// in.
func (h *healthEndpoint) report(r *http.Request, logger *slog.Logger) HealthReport {
	start := time.Now()
	rep := HealthReport{Checks: make([]HealthEntry, len(h.probes))}
	var wg sync.WaitGroup
	for i, p := range h.probes {
		if i == len(h.probes)-1 {
			rep.Checks[i] = p.result(r.Context(), logger)
			break
		}
		wg.Go(func() { rep.Checks[i] = p.result(r.Context(), logger) })
	}
	wg.Wait()
	rep.Took = time.Since(start)
	for i := range rep.Checks {
		rep.Status = max(rep.Status, rep.Checks[i].Status)
	}
	return rep
}

func (h *healthEndpoint) renderJSON(withErrors bool) func(*http.Request, HealthReport) (string, []byte, error) {
	return func(r *http.Request, rep HealthReport) (string, []byte, error) {
		form := rep.form(withErrors, func(e *HealthEntry, err error) {
			logger := h.logger
			if logger == nil {
				logger = slog.Default()
			}
			logger.LogAttrs(r.Context(), slog.LevelError, "the data of a health check can't be encoded as JSON and is left out",
				slog.String("check", e.Name), slog.String("err", err.Error()))
		})
		body, err := json.Marshal(form)
		return "application/json", append(body, '\n'), err
	}
}

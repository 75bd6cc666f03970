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
	"github.com/speakingtube/speakingtube/pipeline"
)

// HealthChecksOptions configure [HealthChecks].
type HealthChecksOptions struct {
	// Path is where the report is: this very path, with or without a slash at
	// the end, ignoring the case of ASCII letters; inside a branch, what is left
	// of it there. Paths below it go on to the next handler. Required; "/" is
	// the root.
	Path string

	// Port, if set, limits the endpoint to requests that came in on that local
	// TCP port: the one that the server listens on, whatever the Host header
	// says. A management port that is not open to the world keeps the report
	// private. Default: 0, any port.
	Port int

	// Checks are what is looked at, all at the same time. Default: none, and
	// the service is Healthy as soon as it answers: right for a liveness probe,
	// whose failure gets the process killed. Give the same slice to several
	// endpoints and let Tags choose.
	Checks []*HealthCheck

	// Tags, if any, keep only those checks that carry at least one of them. A tag
	// that no check carries is a mistake, because the endpoint might be
	// Healthy for ever.
	Tags []string

	// Filter, if set, keeps only those checks for which it holds, of those that
	// Tags kept. HealthChecks calls it once for each check, and no request
	// does. It may keep none.
	Filter func(*HealthCheck) bool

	// StatusCodes is the status of the response to each verdict: all three, or
	// none for the default 200, 200 and 503.
	StatusCodes HealthStatusCodes

	// JSON sends the report as JSON: the verdict and, for each check by name,
	// its status, description, duration, time, tags and data. Default: the name
	// of the verdict as plain text.
	JSON bool

	// DangerouslyShowErrors adds the texts of the checks' errors to the JSON.
	// They tell a stranger of hosts, users and statements: only for an endpoint
	// that strangers can't reach. The log has them in any case.
	DangerouslyShowErrors bool

	// Render makes the body instead, in place of JSON and text. Status, length
	// and cache headers are not its business. If it returns an error, that is
	// logged and the plain text sent.
	Render func(r *http.Request, report HealthReport) (contentType string, body []byte, err error)

	// AllowCaching leaves out the headers that keep caches from answering for
	// us: Cache-Control, Pragma and Expires. A cached verdict is one of the
	// past. See HealthCheck.MaxAge for the safer way to save work.
	AllowCaching bool

	// Logger gets a record for each run of a check, with the error's text: level
	// Error if Unhealthy, Warn if Degraded, Debug if Healthy. A run that two
	// endpoints share is logged by the one that started it. Default:
	// slog.Default(), asked at each request.
	Logger *slog.Logger
}

// HealthStatusCodes is the status of the response to each verdict.
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

// HealthChecks answers on one path with how the service is: it runs the checks,
// each in a goroutine of its own with its own time-out, and the worst verdict
// counts. All other requests go on to the next handler at no cost.
//
// GET and HEAD are answered, other methods get a 405: a probe changes nothing.
// (ASP.NET Core, whose UseHealthChecks this mirrors otherwise, answers any.)
// Probes that arrive during a run share its result, so a storm of them costs no
// more than one; a check that hangs is reported as failed at once until it has
// returned, and holds no more than one goroutine.
//
// The answer to a request that ended before its checks is written all the same,
// with these counted as failed: a component above may have ended it while the
// client still waits.
//
// Keep what restarts a process (/live: no checks, or only of the process itself)
// apart from what takes it out of the load balancer (/ready: databases and other
// services), or an outage of the database restarts everything that uses it.
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
	path   string // without a slash at the end: "" is the root
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
		bad.addf(`Path is empty: set it, "/health" say`)
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
		h.onPort = branch.Port(opts.Port)
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

// choose takes over the checks that Tags and Filter keep.
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
			bad.addf("no check carries the tag %q: add it to one, or leave Tags and Checks empty for an endpoint that only says that the service answers", tag)
		}
	}
}

func (h *healthEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.matches(r) {
		h.next.ServeHTTP(w, r)
		return
	}
	if res, ok := pipeline.ResponseFrom(r); ok {
		res.SetRoute(routeBelow(branch.PathBase(r), "/"+strings.TrimPrefix(h.path, "/")))
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
			logger.LogAttrs(r.Context(), slog.LevelError, "a health report could not be rendered", slog.String("error", err.Error()))
		} else {
			contentType, body = ct, b
		}
	}
	code := h.codes.of(report.Status)
	if code == http.StatusNoContent || code == http.StatusNotModified { // have no body
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

// matches compares the whole path by the rules of branch.Map, which has no exact
// form: /health must leave /health/detailed alone.
func (h *healthEndpoint) matches(r *http.Request) bool {
	p := r.URL.Path
	if !branch.IsClean(p) {
		p = path.Clean("/" + p)
	}
	p = strings.TrimSuffix(p, "/")
	return len(p) == len(h.path) && branch.Covers(h.path, p) && (h.onPort == nil || h.onPort(r))
}

// report asks all checks at the same time. A single one needs no goroutine to be
// waited for in.
func (h *healthEndpoint) report(r *http.Request, logger *slog.Logger) HealthReport {
	start := time.Now()
	rep := HealthReport{Checks: make([]HealthEntry, len(h.probes))}
	var wg sync.WaitGroup
	for i, p := range h.probes {
		if i == len(h.probes)-1 {
			rep.Checks[i] = p.ask(r.Context(), logger)
			break
		}
		wg.Go(func() { rep.Checks[i] = p.ask(r.Context(), logger) })
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
			logger.LogAttrs(r.Context(), slog.LevelError, "the data of a health check is no JSON: left out",
				slog.String("check", e.Name), slog.String("error", err.Error()))
		})
		body, err := json.Marshal(form)
		return "application/json", append(body, '\n'), err
	}
}

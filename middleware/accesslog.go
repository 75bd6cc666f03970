package middleware

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// AccessLogOptions configure [AccessLog].
type AccessLogOptions struct {
	// Logger gets the records. Default: slog.Default(), asked at each request.
	Logger *slog.Logger

	// Quiet holds for requests that are logged at level Debug as long as
	// nothing fails: branch.Path("/health"), say. It sees the request as
	// AccessLog gets it. Default: none.
	Quiet func(*http.Request) bool

	// RedactQuery names the query parameters whose values are logged as "xxx",
	// ignoring case. Default: access_token, api_key, apikey, code, key,
	// password, secret, sig, signature, ticket, token. An empty, non-nil list redacts
	// nothing.
	RedactQuery []string

	// Attrs returns what the record is to say besides, such as the user or a
	// header. It is called when the response is complete, on the request's
	// goroutine; below http.TimeoutHandler the handlers may still be running
	// then, and must not be waited for nor looked at. Default: nothing.
	Attrs func(*http.Request, *pipeline.Response) []slog.Attr
}

var defaultRedact = []string{"access_token", "api_key", "apikey", "code", "key", "password", "secret", "sig", "signature", "ticket", "token"}

// statusClientGone is what the log says of a request whose client left before
// anything was sent: nobody read a status. nginx and Kestrel log the same.
const statusClientGone = 499

// AccessLog logs one record per request when its response is complete, whatever
// became of it, in two groups:
//
//   - request: method, url (path and query as the client sent them, secrets
//     redacted; at most 2 KiB), remote, and, where they are known, route (the pattern of
//     the endpoint) and id ([RequestID]);
//   - response: status, bytes (of body, as written by the handlers), took, and
//     upgraded=true or aborted=true where that was so. Aborted means that the
//     client can't have got all of it: the handlers panicked in the middle, or
//     the client was gone when they returned.
//
// The status is the one that was sent: the 500 that Recover answered, the 101 of
// an upgrade; 499 if the client left and nothing was sent; 0 if the handlers
// panicked and nobody answered. Statuses of 500 and above, and panics in the
// middle, are logged at level Error, all others at Info.
//
// An upgraded connection is logged when its handler returns. With a
// wsmanager.Manager that is at once.
//
// The record's context is the request's, for handlers that take a trace from it.
// It costs one allocation beside what the Logger's handler does, and next to
// nothing where that is not enabled.
//
//go:noinline
func AccessLog(opts AccessLogOptions) pipeline.Middleware {
	if opts.RedactQuery == nil {
		opts.RedactQuery = defaultRedact
	}
	log := &accessLog{opts, isOneOf(slices.Clone(opts.RedactQuery))}
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		rec := &accessRecord{log: log, r: r, target: r.RequestURI, remote: r.RemoteAddr, res: res, start: time.Now()}
		rec.quiet = opts.Quiet != nil && opts.Quiet(r)
		// Too late means that a component in between answered without us, in
		// another goroutine: the request has been logged or nobody wants to know.
		_ = res.NotifyCompleted(rec)
		defer rec.returned()
		next.ServeHTTP(w, r)
		// Over HTTP/2 the answer to a HEAD is complete with its headers, and
		// net/http ends the context then.
		answered := r.Method == http.MethodHead && r.ProtoMajor >= 2 && res.Started()
		rec.gone.Store(!res.Upgraded() && !answered && context.Cause(r.Context()) == context.Canceled)
		rec.unsent.Store(!res.Started())
		rec.inOrder = true
	})
	return func(next http.Handler) http.Handler { return observed(next) }
}

// accessLog is the options as AccessLog has read them.
type accessLog struct {
	AccessLogOptions
	secret namesSecret
}

// accessRecord collects what one request's record says.
type accessRecord struct {
	log    *accessLog
	r      *http.Request
	target string // as the client sent it, whatever components make of r.URL
	remote string
	res    *pipeline.Response
	start  time.Time
	quiet  bool

	inOrder bool        // the handlers have returned, not panicked
	cut     atomic.Bool // they panicked in the middle of the response
	gone    atomic.Bool // the client had left when they returned
	unsent  atomic.Bool // and nothing had been sent to it
	pattern string      // the request's, when they returned: it may change while Completed runs
	known   atomic.Bool // pattern is there

	// The attributes of the groups live here, not in slices of their own.
	request  [5]slog.Attr
	response [4]slog.Attr
}

// returned notes a panic in the middle of the response. Below
// http.TimeoutHandler the record may be written meanwhile.
func (rec *accessRecord) returned() {
	rec.pattern = rec.r.Pattern
	rec.known.Store(true)
	if !rec.inOrder && rec.res.Started() {
		rec.cut.Store(true)
	}
}

// Completed implements pipeline.Completer: it writes the record.
func (rec *accessRecord) Completed() {
	logger := rec.log.Logger
	if logger == nil {
		logger = slog.Default()
	}
	status, bytes, gone := rec.res.Status(), rec.res.BytesWritten(), rec.gone.Load()
	failed := rec.cut.Load() || status == 0
	if gone && rec.unsent.Load() && status == http.StatusOK && bytes == 0 {
		status = statusClientGone // the 200 is net/http's, for nobody
	}
	level := slog.LevelInfo
	switch {
	case status >= 500 || failed:
		level = slog.LevelError
	case rec.quiet:
		level = slog.LevelDebug
	}
	ctx := rec.r.Context()
	handler := logger.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	now := time.Now()
	record := slog.NewRecord(now, level, "request", 0)

	request := append(rec.request[:0],
		slog.String("method", httpx.Truncate(rec.r.Method, maxLogged)),
		slog.String("url", httpx.Truncate(rec.url(), maxLogged)),
		slog.String("remote", rec.remote),
	)
	if route := rec.route(); route != "" {
		request = append(request, slog.String("route", route))
	}
	if id := requestIDOf(rec.res); id != "" {
		request = append(request, slog.String("id", id))
	}
	response := append(rec.response[:0],
		slog.Int("status", status),
		slog.Int64("bytes", bytes),
		slog.Duration("took", now.Sub(rec.start)),
	)
	if rec.res.Upgraded() {
		response = append(response, slog.Bool("upgraded", true))
	}
	if failed || gone {
		response = append(response, slog.Bool("aborted", true))
	}
	record.AddAttrs(
		slog.Attr{Key: "request", Value: slog.GroupValue(request...)},
		slog.Attr{Key: "response", Value: slog.GroupValue(response...)},
	)
	if rec.log.Attrs != nil {
		record.AddAttrs(rec.log.Attrs(rec.r, rec.res)...)
	}
	_ = handler.Handle(ctx, record) // slog.Logger drops this error as well
}

// route is the pattern of the endpoint, as it or a ServeMux has said.
func (rec *accessRecord) route() string {
	if route := rec.res.Route(); route != "" {
		return route
	}
	if rec.known.Load() {
		return rec.pattern
	}
	return ""
}

// maxLogged is how much of a URL or method a record has: clients choose them, and
// net/http takes what fits MaxHeaderBytes.
const maxLogged = 2 << 10

// url is the path with the query, with the values of secret parameters taken
// out. It is escaped, so it can't forge log lines.
func (rec *accessRecord) url() string {
	target := rec.target
	if !strings.HasPrefix(target, "/") { // none, or a whole URL
		target = rec.r.URL.RequestURI()
	}
	path, query, _ := strings.Cut(target, "?")
	redacted := redactQuery(query, rec.log.secret)
	if redacted == query {
		return target
	}
	return path + "?" + redacted
}

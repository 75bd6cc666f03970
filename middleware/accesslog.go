package middleware

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/logattrs"
	"github.com/speakingtube/speakingtube/pipeline"
)

// AccessLogOptions configure [AccessLog].
type AccessLogOptions struct {
	// Logger gets the records. Default: slog.Default(), evaluated at each request.
	Logger *slog.Logger

	// Quiet selects requests that are logged at level Debug unless they fail, for example
	// branch.Path("/health"). It gets the request as AccessLog gets it. Default: none.
	Quiet func(*http.Request) bool

	// RedactQuery names the query parameters whose values are logged as "xxx",
	// ignoring case. Default: access_token, api_key, apikey, code, key,
	// password, secret, sig, signature, ticket, token. Connection tokens of hubs are
	// redacted too, by their prefix: other values of id stay. An empty, non-nil list
	// redacts nothing.
	RedactQuery []string

	// RedactQueryAlso names further parameters. It adds to RedactQuery and its default.
	RedactQueryAlso []string

	// Host adds request.host, the host that the client asked for. Default: no.
	Host bool

	// Protocol adds request.protocol, such as "HTTP/2.0". Default: no.
	Protocol bool

	// UserAgent adds request.user_agent, at most 512 bytes. Default: no.
	UserAgent bool

	// Text gets a line of text for each request in the given Format, instead of records for
	// Logger: one call of Write per line, never two at once. Its errors are ignored. Quiet
	// requests are left out unless they fail. Default: none.
	Text io.Writer

	// Format is the format of Text. Required with Text.
	Format AccessLogFormat

	// User returns the name of the user for the lines of Text. It is called as Attrs is.
	// Default: "-".
	User func(*http.Request) string

	// Attrs returns further attributes of the record, such as the user or a header. It is
	// called when the response is complete, on the request's goroutine. Below
	// http.TimeoutHandler the handlers may still be running then: Attrs must neither wait
	// for them nor read their data. Default: none.
	Attrs func(*http.Request, *pipeline.Response) []slog.Attr
}

var defaultRedact = []string{"access_token", "api_key", "apikey", "code", "key", "password", "secret", "sig", "signature", "ticket", "token"}

// statusClientGone is the logged status of a request whose client left before anything was
// sent. nginx and Kestrel log the same.
const statusClientGone = 499

// AccessLog logs one record per request when its response is complete, whatever the
// outcome, in two groups:
//
//   - request: method, url (path and query as the client sent them, secrets redacted; at
//     most 2 KiB), remote, and, if known, route (the pattern of the endpoint, otherwise the
//     branch; see pipeline's Response.Route) and id ([RequestID]);
//   - response: status, bytes (of the body, as written by the handlers), took, and
//     upgraded=true or aborted=true if it was. Aborted means that the client can't have
//     received the complete response: the handlers panicked after the start, or the client
//     had left when they returned.
//
// The status is the one that was sent: the 500 that Recover answered, the 101 of an
// upgrade; 499 if the client left and nothing was sent; 0 if the handlers panicked and no
// component answered. Statuses of 500 and above, and panics after the start, are logged at
// level Error, all others at Info. If the client was the one who left, the level is Info: a
// download or a proxied stream that it did not want to the end, or a 5xx that was chosen
// after it had left.
//
// An upgraded connection is logged when its handler returns. With a wsmanager.Manager over
// HTTP/1.1 this is immediately after the handshake.
//
// The record's context is the request's, so that log handlers can take a trace from it.
// AccessLog costs one allocation in addition to the work of the Logger's handler, and
// almost nothing if that is not enabled.
//
//go:noinline
func AccessLog(opts AccessLogOptions) pipeline.Middleware {
	if opts.RedactQuery == nil {
		opts.RedactQuery = defaultRedact
	}
	names := slices.Concat(opts.RedactQuery, opts.RedactQueryAlso)
	var bad configProblems
	log := &accessLog{AccessLogOptions: opts, redacts: len(names) > 0, secret: isOneOf(names), text: newAccessText(opts, &bad)}
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		rec := &accessRecord{log: log, r: r, target: r.RequestURI, remote: r.RemoteAddr, res: res, start: time.Now()}
		rec.quiet = opts.Quiet != nil && opts.Quiet(r)
		// If it is too late, a component in between has answered in another goroutine: the
		// request has already been logged, or its record is not needed.
		_ = res.NotifyCompleted(rec)
		defer rec.returned()
		next.ServeHTTP(w, r)
		rec.hasReturned = true
	})
	return func(next http.Handler) http.Handler {
		bad.report("middleware.AccessLog")
		return observed(next)
	}
}

// accessLog holds the validated options of AccessLog.
type accessLog struct {
	AccessLogOptions
	redacts bool
	secret  secretMatcher
	text    *accessText // nil: records for Logger
}

// accessRecord collects the data of one request's record.
type accessRecord struct {
	log    *accessLog
	r      *http.Request
	target string // as the client sent it, even if components change r.URL
	remote string
	res    *pipeline.Response
	start  time.Time
	quiet  bool

	hasReturned bool        // the handlers have returned without a panic
	broken      atomic.Bool // they panicked after the start of the response
	gone        atomic.Bool // the client had left when they ended
	unsent      atomic.Bool // nothing had been sent to the client that left
	pattern     string      // the request's when the handlers returned: the request may change while Completed runs
	known       atomic.Bool // pattern is set

	// Memory of the groups' attributes, so that they need no slices of their own.
	request  [5]slog.Attr
	response [4]slog.Attr
}

// returned records whether the client has left, and a panic after the start of the
// response. Below http.TimeoutHandler the record may be written at the same time.
func (rec *accessRecord) returned() {
	// Over HTTP/2 the answer to a HEAD is complete with its headers, and net/http ends the
	// context then.
	answered := rec.r.Method == http.MethodHead && rec.r.ProtoMajor >= 2 && rec.res.Started()
	rec.gone.Store(!rec.res.Upgraded() && !answered && clientLeft(rec.r))
	rec.unsent.Store(!rec.res.Started())
	rec.pattern = rec.r.Pattern
	rec.known.Store(true)
	if !rec.hasReturned && rec.res.Started() {
		rec.broken.Store(true)
	}
}

// Completed implements pipeline.Completer: it writes the record.
func (rec *accessRecord) Completed() {
	status, bytes, gone := rec.res.Status(), rec.res.BytesWritten(), rec.gone.Load()
	failed := rec.broken.Load() || status == 0
	if gone && rec.unsent.Load() && (status == http.StatusOK || status == 0) && bytes == 0 {
		status = statusClientGone // net/http's 200 is not sent
	}
	level := slog.LevelInfo
	switch {
	case gone && (status < 500 || rec.res.Value(httpx.AbandonedKey{}) == true):
		// The client has ended it.
	case status >= 500 || failed:
		level = slog.LevelError
	case rec.quiet:
		level = slog.LevelDebug
	}
	if text := rec.log.text; text != nil {
		if level >= slog.LevelInfo {
			text.write(rec, status, bytes)
		}
		return
	}
	logger := rec.log.Logger
	if logger == nil {
		logger = slog.Default()
	}
	ctx := rec.r.Context()
	handler := logger.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	now := time.Now()
	record := slog.NewRecord(now, level, "request", 0)

	request := append(rec.request[:0],
		slog.String(logattrs.RequestMethod, httpx.Truncate(rec.r.Method, maxLogged)),
		slog.String(logattrs.RequestURL, httpx.Truncate(rec.url(), maxLogged)),
		slog.String(logattrs.RequestRemote, rec.remote),
	)
	if route := rec.route(); route != "" {
		request = append(request, slog.String(logattrs.RequestRoute, route))
	}
	if id := requestIDOf(rec.res); id != "" {
		request = append(request, slog.String(logattrs.RequestID, id))
	}
	request = rec.options(request)
	response := append(rec.response[:0],
		slog.Int(logattrs.ResponseStatus, status),
		slog.Int64(logattrs.ResponseBytes, bytes),
		slog.Duration(logattrs.ResponseTook, now.Sub(rec.start)),
	)
	if rec.res.Upgraded() {
		response = append(response, slog.Bool(logattrs.ResponseUpgraded, true))
	}
	if failed || gone {
		response = append(response, slog.Bool(logattrs.ResponseAborted, true))
	}
	record.AddAttrs(
		logattrs.Group(logattrs.Request, request...),
		logattrs.Group(logattrs.Response, response...),
	)
	if rec.log.Attrs != nil {
		record.AddAttrs(rec.log.Attrs(rec.r, rec.res)...)
	}
	_ = handler.Handle(ctx, record) // slog.Logger ignores this error too
}

// options appends the attributes that the options add.
func (rec *accessRecord) options(request []slog.Attr) []slog.Attr {
	if rec.log.Host {
		request = append(request, slog.String(logattrs.RequestHost, httpx.Truncate(rec.r.Host, maxLogged)))
	}
	if rec.log.Protocol {
		request = append(request, slog.String(logattrs.RequestProtocol, rec.r.Proto))
	}
	if rec.log.UserAgent {
		request = append(request, slog.String(logattrs.RequestUserAgent, httpx.Truncate(rec.r.UserAgent(), maxUserAgent)))
	}
	return request
}

// route returns the pattern of the endpoint, as set by SetRoute or by a ServeMux.
func (rec *accessRecord) route() string {
	if route := rec.res.Route(); route != "" {
		return route
	}
	if rec.known.Load() {
		return rec.pattern
	}
	return ""
}

// maxLogged is the maximum number of bytes of a URL or method in a record: clients choose
// them, and net/http only limits them to MaxHeaderBytes.
const maxLogged = 2 << 10

// maxUserAgent is the same for user agents.
const maxUserAgent = 512

// url returns the path with the query, with the values of secret parameters redacted. It is
// escaped, so it can't forge log lines.
func (rec *accessRecord) url() string {
	target := rec.target
	if !strings.HasPrefix(target, "/") { // empty, or an absolute URL
		target = rec.r.URL.RequestURI()
	}
	return rec.redacted(target)
}

// redacted returns a URL with its query redacted.
func (rec *accessRecord) redacted(target string) string {
	path, query, _ := strings.Cut(target, "?")
	if !rec.log.redacts {
		return target
	}
	redacted := redactQuery(query, rec.log.secret)
	if redacted == query {
		return target
	}
	return path + "?" + redacted
}

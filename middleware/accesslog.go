package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// AccessLogOptions configure [AccessLog].
type AccessLogOptions struct {
	// Logger gets the records. Default: slog.Default(), asked at each request.
	Logger *slog.Logger

	// RedactQuery names the query parameters whose values are logged as "xxx",
	// ignoring case. Default: access_token, api_key, apikey, code, key,
	// password, secret, sig, signature, token. An empty, non-nil list redacts
	// nothing.
	RedactQuery []string
}

var defaultRedact = []string{"access_token", "api_key", "apikey", "code", "key", "password", "secret", "sig", "signature", "token"}

// statusClientGone is what the log says of a request whose client left before
// anything was sent: nobody read a status. nginx and Kestrel log the same.
const statusClientGone = 499

// AccessLog logs one record per request when its response is complete, whatever
// became of it: attributes method, url (path and query as the client sent them,
// secrets redacted), status, bytes (of body, as written by the handlers), took and
// remote, and aborted=true where the client can't have got all of it: the handlers
// panicked in the middle, or the client was gone when they returned. The status is
// the one that was sent: the 500 that Recover answered, the 101 of an upgrade; 499
// if the client left and nothing was sent; 0 if the handlers panicked and nobody
// answered. Statuses of 500 and above, and panics in the middle, are logged at
// level Error, all others at Info.
//
// An upgraded connection is logged when its handler returns. With a
// wsmanager.Manager that is at once.
//
//go:noinline
func AccessLog(opts AccessLogOptions) pipeline.Middleware {
	redact := opts.RedactQuery
	if redact == nil {
		redact = defaultRedact
	}
	redact = slices.Clone(redact)
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		rec := &accessRecord{r: r, target: r.RequestURI, remote: r.RemoteAddr, res: res, start: time.Now(), logger: opts.Logger, redact: redact}
		// Too late means that a component in between answered without us, in
		// another goroutine: the request has been logged or nobody wants to know.
		_ = res.OnCompleted(rec.log)
		returned := false
		defer func() {
			// Below http.TimeoutHandler the record may be written meanwhile.
			if !returned && res.Started() {
				rec.cut.Store(true)
			}
		}()
		next.ServeHTTP(w, r)
		returned = true
		rec.gone.Store(!res.Upgraded() && errors.Is(context.Cause(r.Context()), context.Canceled))
	})
	return func(next http.Handler) http.Handler { return observed(next) }
}

// accessRecord collects what one request's record says.
type accessRecord struct {
	r      *http.Request
	target string // as the client sent it, whatever components make of r.URL
	remote string
	res    *pipeline.Response
	start  time.Time
	logger *slog.Logger
	redact []string

	cut  atomic.Bool // the handlers panicked in the middle of the response
	gone atomic.Bool // the client had left when they returned
}

func (rec *accessRecord) log() {
	logger := rec.logger
	if logger == nil {
		logger = slog.Default()
	}
	status, bytes, gone := rec.res.Status(), rec.res.BytesWritten(), rec.gone.Load()
	failed := rec.cut.Load() || status == 0
	if gone && status == http.StatusOK && bytes == 0 {
		status = statusClientGone // the 200 is net/http's, for nobody
	}
	level := slog.LevelInfo
	if status >= 500 || failed {
		level = slog.LevelError
	}
	ctx := rec.r.Context()
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", rec.r.Method),
		slog.String("url", rec.url()),
		slog.Int("status", status),
		slog.Int64("bytes", bytes),
		slog.Duration("took", time.Since(rec.start)),
		slog.String("remote", rec.remote),
	}
	if failed || gone {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	logger.LogAttrs(ctx, level, "request", attrs...)
}

// url is the path with the query, with the values of secret parameters taken
// out. It is escaped, so it can't forge log lines.
func (rec *accessRecord) url() string {
	path, query, hasQuery := strings.Cut(rec.target, "?")
	if !strings.HasPrefix(path, "/") { // none, or a whole URL
		path, query, hasQuery = rec.r.URL.EscapedPath(), rec.r.URL.RawQuery, rec.r.URL.RawQuery != ""
	}
	if !hasQuery {
		return path
	}
	return path + "?" + redactQuery(query, isOneOf(rec.redact))
}

package middleware

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
// became of it: attributes method, url (path and query, secrets redacted),
// status, bytes (of body, as written by the handlers), took and remote, and
// aborted=true where the connection was cut in the middle. The status is the one
// that was sent: the 500 that Recover answered, the 101 of an upgrade; 499 if
// the client left before it; 0 if the handlers panicked and nobody answered.
// Statuses of 500 and above, and aborts, are logged at level Error, all others
// at Info.
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
		rec := accessRecord{r: r, res: res, start: time.Now(), logger: opts.Logger, redact: redact}
		// OnCompleted can't be too late here: the response is complete only
		// when the outermost observer returns.
		if err := res.OnCompleted(rec.log); err != nil {
			panic(err)
		}
		rec.cut = true
		defer func() { rec.cut = rec.cut && res.Started() }()
		next.ServeHTTP(w, r)
		rec.cut = false
		rec.clientGone = !res.Started() && r.Context().Err() != nil
	})
	return func(next http.Handler) http.Handler { return observed(next) }
}

// accessRecord collects what one request's record says.
type accessRecord struct {
	r      *http.Request
	res    *pipeline.Response
	start  time.Time
	logger *slog.Logger
	redact []string

	cut        bool // the handlers panicked in the middle of the response
	clientGone bool // the client left before the response started
}

func (rec *accessRecord) log() {
	logger := rec.logger
	if logger == nil {
		logger = slog.Default()
	}
	status := rec.res.Status()
	aborted := rec.cut || status == 0
	if rec.clientGone {
		status, aborted = statusClientGone, true
	}
	level := slog.LevelInfo
	if status >= 500 || aborted && !rec.clientGone {
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
		slog.Int64("bytes", rec.res.BytesWritten()),
		slog.Duration("took", time.Since(rec.start)),
		slog.String("remote", rec.r.RemoteAddr),
	}
	if aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	logger.LogAttrs(ctx, level, "request", attrs...)
}

// url is the path with the query, with the values of secret parameters taken
// out. It is escaped, so it can't forge log lines.
func (rec *accessRecord) url() string {
	u := rec.r.URL
	if u.RawQuery == "" {
		return u.EscapedPath()
	}
	var sb strings.Builder
	sb.WriteString(u.EscapedPath())
	sep := byte('?')
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		sb.WriteByte(sep)
		sep = '&'
		key, _, hasValue := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(key)
		if err != nil || !hasValue || !slices.ContainsFunc(rec.redact, func(s string) bool { return strings.EqualFold(s, plain) }) {
			sb.WriteString(pair)
			continue
		}
		sb.WriteString(key)
		sb.WriteString("=xxx")
	}
	return sb.String()
}

package pipeline

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/logattrs"
)

// Refusal is the answer to a request whose path or target the pipeline refuses or
// redirects; see [Options.OnRefused].
type Refusal = branch.Refusal

// The records of refusals are limited to a number at once and to a rate: a scanner must not
// fill the log. Each record says how many were left out before it.
const (
	refusalBurst    = 50
	refusalInterval = 200 * time.Millisecond
)

// maxLoggedPath is the length, in bytes, to which a logged path is cut.
const maxLoggedPath = 256

// refusals logs and counts the refusals of one pipeline.
type refusals struct {
	logger    *slog.Logger // nil: slog.Default at the time of the record
	onRefused func(*http.Request, Refusal)

	mu         sync.Mutex
	tokens     int       // records that may be written at once
	refilled   time.Time // when tokens was last increased
	suppressed int       // records left out since the last one
}

func newRefusals(opts Options) *refusals {
	return &refusals{logger: opts.Logger, onRefused: opts.OnRefused, tokens: refusalBurst, refilled: time.Now()}
}

// report handles one refusal.
func (l *refusals) report(r *http.Request, refusal Refusal) {
	if l.onRefused != nil {
		l.onRefused(r, refusal)
	}
	logger := l.logger
	if logger == nil {
		logger = slog.Default()
	}
	level, message := slog.LevelWarn, "request path refused"
	if refusal.Status < 400 {
		level, message = slog.LevelInfo, "request path redirected"
	}
	if !logger.Enabled(r.Context(), level) {
		return
	}
	suppressed, ok := l.take(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		logattrs.Group(logattrs.Request,
			slog.String(logattrs.RequestMethod, httpx.Truncate(r.Method, maxLoggedMethod)),
			slog.String(logattrs.RequestPath, loggedPath(r)),
			slog.String(logattrs.RequestRemote, r.RemoteAddr)),
		logattrs.Group(logattrs.Response, slog.Int(logattrs.ResponseStatus, refusal.Status)),
		slog.String("reason", refusal.Reason),
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	logger.LogAttrs(r.Context(), level, message, attrs...)
}

const maxLoggedMethod = 32

// take reports whether a record may be written now, and how many were left out before it.
func (l *refusals) take(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := int(now.Sub(l.refilled) / refusalInterval); n > 0 {
		l.tokens = min(refusalBurst, l.tokens+n)
		l.refilled = l.refilled.Add(time.Duration(n) * refusalInterval)
	}
	if l.tokens == 0 {
		l.suppressed++
		return 0, false
	}
	l.tokens--
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}

// loggedPath returns the path as the client sent it, with everything escaped that is not
// printable ASCII, and cut.
func loggedPath(r *http.Request) string {
	p := httpx.RequestPath(r)
	if !strings.HasPrefix(r.RequestURI, "/") && r.URL.RawPath != "" {
		p = r.URL.RawPath // EscapedPath may have lost the escapes
	}
	const hex = "0123456789ABCDEF"
	var sb strings.Builder
	for i := range len(p) {
		if sb.Len() >= maxLoggedPath {
			sb.WriteString(" …")
			break
		}
		if c := p[i]; c > ' ' && c < 0x7f && c != '"' && c != '\\' {
			sb.WriteByte(c)
		} else {
			sb.WriteByte('%')
			sb.WriteByte(hex[c>>4])
			sb.WriteByte(hex[c&15])
		}
	}
	return sb.String()
}

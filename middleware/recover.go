package middleware

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/pipeline"
)

// RecoverOptions configure [Recover].
type RecoverOptions struct {
	// Logger gets a record of level Error for each panic, with the value, the
	// stack, method and path. Default: slog.Default().
	Logger *slog.Logger

	// Handler writes the answer instead of the built-in one. It is called only
	// where the response has not started. v is what was passed to panic: it may
	// hold secrets and is for the log, not for the client. The header
	// Cache-Control: no-store is set and may be changed. A Handler that writes
	// nothing sends a 500 without a body.
	Handler func(w http.ResponseWriter, r *http.Request, v any)
}

// Recover turns a panic of the components behind it into an answer with status
// 500, and keeps the server up. The client reads a generic text, as
// application/problem+json (RFC 9457), HTML or plain text by its Accept header;
// the log gets the panic's value and stack.
//
// Where the response has started already, or something was written into a buffer
// that a component above holds back, nothing can be taken back: the panic is
// logged and the connection aborted, so that the client sees a broken response
// rather than a wrong one. http.ErrAbortHandler passes through unlogged.
//
// Headers that components set before the panic are kept, save those that describe
// the lost body or an upgrade. If the answer itself panics (in Handler, or in an
// OnStarting callback), that is logged as well and the built-in answer is tried.
//
//go:noinline
func Recover(opts RecoverOptions) pipeline.Middleware {
	rec := recoverer{opts}
	if rec.Handler == nil {
		rec.Handler = writeProblem
	}
	return func(next http.Handler) http.Handler {
		outermost := pipeline.Observe(rec.outermost)(next)
		inner := pipeline.ObserveWriter(rec.inner)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, observed := pipeline.ResponseFrom(r); observed {
				inner.ServeHTTP(w, r)
				return
			}
			outermost.ServeHTTP(w, r)
		})
	}
}

type recoverer struct{ RecoverOptions }

// outermost also answers for OnStarting callbacks that panic while the response
// to handlers that wrote nothing is started: as nothing above observes, it
// starts that response itself, under its own protection.
func (rec recoverer) outermost(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	defer func() {
		if v := recover(); v != nil {
			rec.answer(w, r, res.Started, v)
		}
	}()
	next.ServeHTTP(w, r)
	if !res.Started() {
		w.WriteHeader(http.StatusOK)
	}
}

// inner stands below something that observes, and maybe below something that
// buffers: what counts is also what was written to its own writer.
func (rec recoverer) inner(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
	outer, _ := pipeline.ResponseFrom(r)
	defer func() {
		if v := recover(); v != nil {
			rec.answer(w, r, func() bool { return own.Started() || outer.Started() }, v)
		}
	}()
	next.ServeHTTP(w, r)
}

func (rec recoverer) answer(w http.ResponseWriter, r *http.Request, started func() bool, v any) {
	rec.report(r, v, started())
	if started() {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for name := range h {
		if describesBody(name) {
			h.Del(name)
		}
	}
	h.Set("Cache-Control", "no-store")
	if second := try(rec.Handler, w, r, v); second != nil {
		rec.report(r, second, started())
		if started() {
			panic(http.ErrAbortHandler)
		}
		// Callbacks run once, so the one that panicked is out of the way.
		if try(writeProblem, w, r, v) != nil {
			panic(http.ErrAbortHandler)
		}
	}
	if !started() {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// try returns what f panicked with, nil if it did not.
func try(f func(http.ResponseWriter, *http.Request, any), w http.ResponseWriter, r *http.Request, v any) (second any) {
	defer func() { second = recover() }()
	f(w, r, v)
	return nil
}

// report logs a panic. It passes on the one that is no failure.
func (rec recoverer) report(r *http.Request, v any, started bool) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // itself, not what wraps it: net/http compares
	}
	logger := rec.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
		slog.String("method", r.Method), slog.String("path", requestPath(r)),
		slog.Any("panic", v), slog.Bool("response_started", started),
		slog.String("stack", string(debug.Stack())))
}

// describesBody reports whether a header belongs to the body, or the upgrade, that
// won't be sent.
func describesBody(name string) bool {
	switch name {
	case "Accept-Ranges", "Connection", "Digest", "Etag", "Expires", "Last-Modified", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, "Content-") && !strings.HasPrefix(name, "Content-Security-Policy") ||
		strings.HasPrefix(name, "Sec-Websocket-")
}

// requestPath is the path as the client sent it, escaped, before branches took
// anything off or components rewrote it; without the query.
func requestPath(r *http.Request) string {
	if !strings.HasPrefix(r.RequestURI, "/") { // none, or a whole URL
		return r.URL.EscapedPath()
	}
	p, _, _ := strings.Cut(r.RequestURI, "?")
	return p
}

// writeProblem is the default answer. It says nothing about the panic.
func writeProblem(w http.ResponseWriter, r *http.Request, _ any) {
	const status = http.StatusInternalServerError
	title := http.StatusText(status)
	var body string
	switch preferred(r.Header.Values("Accept")) {
	case "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		t := html.EscapeString(title)
		body = fmt.Sprintf("<!doctype html>\n<title>%s</title>\n<h1>%d %s</h1>\n<p>The server failed to answer this request.</p>\n", t, status, t)
	case "json":
		w.Header().Set("Content-Type", "application/problem+json")
		problem, err := json.Marshal(struct {
			Type   string `json:"type"`
			Title  string `json:"title"`
			Status int    `json:"status"`
		}{"about:blank", title, status})
		if err != nil { // three plain fields: can't be
			panic(err)
		}
		body = string(problem) + "\n"
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		body = fmt.Sprintf("%d %s\n", status, title)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body)) // the client may be gone
	}
}

// preferred picks "html", "json" or "text" by the Accept header: the type with
// the highest quality, the first named of equals; text where nothing fits or
// anything goes.
func preferred(accept []string) string {
	best, bestQ := "text", 0.0
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			mediaType, params, _ := strings.Cut(item, ";")
			q := quality(params)
			if q <= bestQ {
				continue
			}
			kind := ""
			switch strings.ToLower(strings.TrimSpace(mediaType)) {
			case "text/html", "application/xhtml+xml":
				kind = "html"
			case "application/json", "application/problem+json", "application/*":
				kind = "json"
			case "text/plain", "text/*", "*/*":
				kind = "text"
			default:
				continue
			}
			best, bestQ = kind, q
		}
	}
	return best
}

// quality reads q from the parameters of an Accept item; 1 if there is none, 0
// if it is no number between 0 and 1.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}

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
// Where the response has started already nothing can be taken back: the panic
// is logged and the connection aborted, so that the client sees a broken
// response rather than a short one. http.ErrAbortHandler passes through
// unlogged. Headers that components set before the panic are kept, save those
// that describe a body: Content-Type, -Length, -Encoding, -Range, ETag and
// Last-Modified are dropped.
//
//go:noinline
func Recover(opts RecoverOptions) pipeline.Middleware {
	rec := recoverer{opts}
	if rec.Handler == nil {
		rec.Handler = writeProblem
	}
	return func(next http.Handler) http.Handler {
		outermost := pipeline.Observe(rec.outermost)(next)
		inner := pipeline.Observe(rec.serve)(next)
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
	defer rec.answer(w, r, res)
	next.ServeHTTP(w, r)
	if !res.Started() {
		w.WriteHeader(http.StatusOK)
	}
}

func (rec recoverer) serve(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	defer rec.answer(w, r, res)
	next.ServeHTTP(w, r)
}

func (rec recoverer) answer(w http.ResponseWriter, r *http.Request, res *pipeline.Response) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	logger := rec.Logger
	if logger == nil {
		logger = slog.Default()
	}
	started := res.Started()
	logger.LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
		slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Any("panic", v), slog.Bool("response_started", started),
		slog.String("stack", string(debug.Stack())))
	if started {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	rec.Handler(w, r, v)
	if !res.Started() {
		w.WriteHeader(http.StatusInternalServerError)
	}
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

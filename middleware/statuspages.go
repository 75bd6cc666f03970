package middleware

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/felixge/httpsnoop"

	"github.com/speakingtube/speakingtube/pipeline"
)

// StatusPagesOptions configure [StatusPages].
type StatusPagesOptions struct {
	// Handler writes the page instead of [WriteProblem]. The status is sent with its first
	// write, or when it returns; it may set another one with WriteHeader. The answer's
	// headers are already set, without Content-Type and Content-Length. It must not hijack.
	Handler func(w http.ResponseWriter, r *http.Request, status int)
}

// StatusPages adds a body to answers of the handlers behind it that have a status of 400 to
// 599 and no further text: no body, or the bare text that http.NotFound, http.ServeMux and
// http.Error(w, http.StatusText(code), code) write. The body is application/problem+json,
// HTML or plain text as for [WriteProblem], or written by Handler. Other headers
// (Allow, Retry-After, WWW-Authenticate ...) stay.
//
// These answers are never changed: those with any other text, with a Content-Type other
// than text/plain, a Content-Encoding, a Content-Length that fits no bare text (0 as well), or
// trailers; answers that were flushed without a body, because more may follow; upgrades;
// and requests whose client has left or whose handler called [NoStatusPage].
//
// To decide, it holds the status back until a write shows that the text is not bare, a
// flush, or the return of the handlers. The headers are those at the time of WriteHeader,
// as without StatusPages. If a handler panics while a status is held back, nothing has been
// sent, and a [Recover] above can still answer; one below aborts.
//
// It corresponds to ASP.NET Core's UseStatusCodePages, which does not replace texts,
// because ASP.NET Core writes none by default.
//
//go:noinline
func StatusPages(opts StatusPagesOptions) pipeline.Middleware {
	if opts.Handler == nil {
		opts.Handler = func(w http.ResponseWriter, r *http.Request, status int) {
			writeProblem(w, r, (&Problem{Status: status}).complete())
		}
	}
	return func(next http.Handler) http.Handler {
		// The writer from ObserveWriter has all methods that are reachable below as its
		// own: http.ResponseController can't bypass the hooks.
		inner := pipeline.ObserveWriter(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
			held := &heldStatus{ResponseWriter: w, r: r, own: own}
			hw := held.wrap()
			next.ServeHTTP(hw, r)
			held.finish(hw, opts.Handler)
		})(next)
		// The outer one is for the components below, and for NoStatusPage.
		return pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
			next.ServeHTTP(w, r)
		})(inner)
	}
}

// noStatusPage is the key of a Response's value; only its presence counts.
type noStatusPage struct{}

// NoStatusPage disables [StatusPages] for this request: an error answer without a body is
// sent without one. It may be called while the handlers run, and does nothing without a
// StatusPages above.
func NoStatusPage(r *http.Request) {
	if res, ok := pipeline.ResponseFrom(r.Context()); ok {
		res.SetValue(noStatusPage{}, true)
	}
}

// heldStatus is a writer that holds an error's status back until it knows whether a body
// follows.
type heldStatus struct {
	http.ResponseWriter // the target
	r                   *http.Request
	own                 *pipeline.Response // observes the target

	state  heldState
	status int
	header http.Header // a copy from the time of WriteHeader
	body   []byte      // the beginning of a bare text, or all of it
}

type heldState int

const (
	heldNothing heldState = iota // nothing was written
	heldBack                     // a status is held back
	heldPage                     // Handler writes: the next write sends the status
	heldPassed                   // everything is passed through
)

// wrap returns the writer for the handlers.
func (s *heldStatus) wrap() http.ResponseWriter {
	return httpsnoop.Wrap(s.ResponseWriter, httpsnoop.Hooks{
		WriteHeader: func(httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc { return s.WriteHeader },
		Write:       func(httpsnoop.WriteFunc) httpsnoop.WriteFunc { return s.Write },
		WriteString: func(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(text string) (int, error) {
				if s.state == heldPassed {
					return next(text)
				}
				return s.Write([]byte(text))
			}
		},
		ReadFrom: func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) {
				var begun int64
				if s.state == heldBack {
					// Larger than any bare text.
					var buf [512]byte
					n, err := io.CopyBuffer(struct{ io.Writer }{s}, io.LimitReader(src, int64(len(buf))), buf[:])
					if err != nil || n < int64(len(buf)) {
						return n, err
					}
					begun = n
				}
				if s.state == heldPage {
					s.ResponseWriter.WriteHeader(s.status)
				}
				s.state = heldPassed
				n, err := next(src)
				s.revertStart()
				return begun + n, err
			}
		},
		// Both are set: with Flush alone, httpsnoop would create the hook at each call of
		// FlushError.
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() { s.release(); next() }
		},
		FlushError: func(next httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc {
			return func() error { s.release(); return next() }
		},
		Hijack: func(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
			return func() (net.Conn, *bufio.ReadWriter, error) {
				s.release()
				conn, rw, err := next()
				s.revertStart()
				return conn, rw, err
			}
		},
	})
}

func (s *heldStatus) WriteHeader(code int) {
	switch {
	case s.state == heldBack:
		// The first status counts, as in the writer below.
	case code >= 100 && code < 200 && code != http.StatusSwitchingProtocols:
		s.ResponseWriter.WriteHeader(code)
	case s.state == heldNothing && code >= 400 && code < 600 && s.mayReplace(code):
		s.state, s.status, s.header = heldBack, code, s.Header().Clone()
	default:
		s.state = heldPassed
		s.ResponseWriter.WriteHeader(code)
	}
}

func (s *heldStatus) Write(p []byte) (int, error) {
	switch s.state {
	case heldBack:
		if len(s.body)+len(p) <= maxBareText && isBareText(s.status, string(s.body)+string(p), true) {
			s.body = append(s.body, p...)
			return len(p), nil
		}
		s.release()
	case heldPage:
		s.release()
	default:
		s.state = heldPassed
	}
	return s.ResponseWriter.Write(p)
}

// mayReplace checks the headers of a held status.
func (s *heldStatus) mayReplace(code int) bool {
	h := s.Header()
	if len(h["Content-Encoding"]) > 0 || len(h["Trailer"]) > 0 || len(h["Transfer-Encoding"]) > 0 {
		return false
	}
	if t := h.Get("Content-Type"); t != "" && !strings.HasPrefix(t, "text/plain") {
		return false
	}
	if cl := h.Get("Content-Length"); cl != "" {
		n, err := strconv.Atoi(cl)
		return err == nil && isBareTextLength(code, n)
	}
	return true
}

// release sends the held status and text unchanged.
func (s *heldStatus) release() {
	held := s.state
	s.state = heldPassed
	switch held {
	case heldPage:
		s.ResponseWriter.WriteHeader(s.status)
	case heldBack:
		s.restoreHeader()
		s.ResponseWriter.WriteHeader(s.status)
		if len(s.body) > 0 {
			_, _ = s.ResponseWriter.Write(s.body) // the next write returns the same error
		}
	}
}

// revertStart undoes the start if an empty source, or a hijack that failed, has sent
// nothing: the status can still be set.
func (s *heldStatus) revertStart() {
	if !s.own.Started() {
		s.state = heldNothing
	}
}

// restoreHeader undoes changes to the headers after WriteHeader, because they would have
// had no effect.
func (s *heldStatus) restoreHeader() {
	h := s.Header()
	for name := range h {
		if _, was := s.header[name]; !was && !strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	for name, values := range s.header {
		h[name] = values
	}
}

// finish is called when the handlers have returned. It writes the page if there is to be
// one.
func (s *heldStatus) finish(w http.ResponseWriter, page func(http.ResponseWriter, *http.Request, int)) {
	if s.state != heldBack {
		s.state = heldPassed
		return
	}
	length := s.header.Get("Content-Length")
	res, _ := pipeline.ResponseFrom(s.r.Context())
	if res.Value(noStatusPage{}) != nil || !isBareText(s.status, string(s.body), false) ||
		len(s.body) == 0 && length != "" || // a HEAD whose GET has a text
		context.Cause(s.r.Context()) == context.Canceled {
		s.release()
		return
	}
	s.restoreHeader()
	s.Header().Del("Content-Type")
	s.Header().Del("Content-Length")
	s.state = heldPage
	page(w, s.r, s.status)
	s.release()
}

// bareTexts returns the bodies that add nothing to the status.
func bareTexts(code int) []string {
	t := http.StatusText(code)
	if t == "" {
		return nil
	}
	texts := []string{t, strconv.Itoa(code) + " " + t}
	if code == http.StatusNotFound {
		texts = append(texts, "404 page not found") // http.NotFound
	}
	return texts
}

// maxBareText is more than the length of the longest: "511 Network Authentication
// Required\n".
const maxBareText = 64

// isBareText reports whether body adds nothing to the status; with prefix, whether that is
// still possible if more follows. An empty body adds nothing.
func isBareText(code int, body string, prefix bool) bool {
	if body == "" {
		return true
	}
	for _, t := range bareTexts(code) {
		if body == t || body == t+"\n" || prefix && strings.HasPrefix(t, body) {
			return true
		}
	}
	return false
}

func isBareTextLength(code, n int) bool {
	for _, t := range bareTexts(code) {
		if n == len(t) || n == len(t)+1 {
			return true
		}
	}
	return false
}

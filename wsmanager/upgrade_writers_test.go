package wsmanager_test

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// seen is the statuses that the writers of a request were given, by the writer's name.
type seen struct {
	mu    sync.Mutex
	codes map[string][]int
}

func (s *seen) note(name string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.codes == nil {
		s.codes = map[string][]int{}
	}
	s.codes[name] = append(s.codes[name], code)
}

func (s *seen) last(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	codes := s.codes[name]
	if len(codes) == 0 {
		return 0
	}
	return codes[len(codes)-1]
}

// The writers that follow are of kinds that middleware has. Each wraps another writer
// and can be hijacked.

// forwards notes the status, passes it on, and has no Unwrap.
type forwards struct {
	http.ResponseWriter
	name string
	seen *seen
}

func (w *forwards) WriteHeader(code int) {
	w.seen.note(w.name, code)
	w.ResponseWriter.WriteHeader(code)
}

func (w *forwards) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

// forwardsOpen is forwards with Unwrap.
type forwardsOpen struct{ *forwards }

func (w forwardsOpen) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// stores keeps the status, and has no Unwrap: the logger of many a blog post.
type stores struct {
	http.ResponseWriter
	seen *seen
	code int
}

func (w *stores) WriteHeader(code int) { w.seen.note("stores", code); w.code = code }

func (w *stores) Write(p []byte) (int, error) { w.commit(); return w.ResponseWriter.Write(p) }

func (w *stores) commit() {
	if w.code != 0 {
		w.ResponseWriter.WriteHeader(w.code)
		w.code = 0
	}
}

func (w *stores) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// storesOpen is stores with Unwrap.
type storesOpen struct{ *stores }

func (w storesOpen) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// commits is stores, and sends the status when it is hijacked.
type commits struct{ *stores }

func (w commits) Hijack() (net.Conn, *bufio.ReadWriter, error) { w.commit(); return w.stores.Hijack() }

// commitsOpen is commits with Unwrap.
type commitsOpen struct{ commits }

func (w commitsOpen) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// iris behaves as the writer of that framework: it embeds, keeps the status, has
// WriteHeader only note it, and hides what it wraps behind a method of another name.
type iris struct {
	http.ResponseWriter
	status, written int
}

func (w *iris) Naive() http.ResponseWriter { return w.ResponseWriter }
func (w *iris) WriteHeader(code int)       { w.status = code }
func (w *iris) Write(p []byte) (int, error) {
	if w.written == 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	n, err := w.ResponseWriter.Write(p)
	w.written += n
	return n, err
}

func (w *iris) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("hijack is not supported")
	}
	w.written = 0
	return h.Hijack()
}

// goZero behaves as that framework's: a named field, a status that is noted and passed
// on.
type goZero struct {
	Writer http.ResponseWriter
	Code   int
}

func (w *goZero) Header() http.Header         { return w.Writer.Header() }
func (w *goZero) Write(p []byte) (int, error) { return w.Writer.Write(p) }
func (w *goZero) WriteHeader(code int)        { w.Writer.WriteHeader(code); w.Code = code }
func (w *goZero) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h, ok := w.Writer.(http.Hijacker); ok {
		return h.Hijack()
	}
	return nil, nil, errors.New("server doesn't support hijacking")
}

// closures holds what it wraps where nothing can look.
type closures struct {
	header      func() http.Header
	write       func([]byte) (int, error)
	writeHeader func(int)
	hijack      func() (net.Conn, *bufio.ReadWriter, error)
}

func closed(w http.ResponseWriter) *closures {
	return &closures{w.Header, w.Write, w.WriteHeader, http.NewResponseController(w).Hijack}
}

func (w *closures) Header() http.Header                          { return w.header() }
func (w *closures) Write(p []byte) (int, error)                  { return w.write(p) }
func (w *closures) WriteHeader(code int)                         { w.writeHeader(code) }
func (w *closures) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

// private has what it wraps in a part of its own, under names that nobody else can use.
type private struct{ part }

type part struct {
	log   *seen
	inner http.ResponseWriter
}

func (w part) Header() http.Header         { return w.inner.Header() }
func (w part) Write(p []byte) (int, error) { return w.inner.Write(p) }
func (w part) WriteHeader(code int)        { w.log.note("private", code); w.inner.WriteHeader(code) }
func (w *private) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.inner.(http.Hijacker).Hijack()
}

// buffers holds a response back, its header as well, in a recorder; what it can be
// hijacked from is beside that.
type buffers struct {
	*httptest.ResponseRecorder
	real http.ResponseWriter
}

func (w *buffers) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.real.(http.Hijacker).Hijack()
}

// buffersOpen is buffers with Unwrap.
type buffersOpen struct{ *buffers }

func (w buffersOpen) Unwrap() http.ResponseWriter { return w.real }

// encodes does with a response what compressors do.
type encodes struct{ *forwards }

func (w encodes) WriteHeader(code int) {
	if w.Header().Get("Content-Type") != "" {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Del("Content-Length")
	}
	w.forwards.WriteHeader(code)
}

// cookies sets a header as late as it can.
type cookies struct{ *forwards }

func (w cookies) WriteHeader(code int) {
	w.Header().Add("Set-Cookie", "late=1")
	w.forwards.WriteHeader(code)
}
func (w cookies) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// rewraps gives away a connection of its own, with a buffer of its own, in which it has
// left something; once it has been told how by change.
type rewraps struct {
	*stores
	change func(net.Conn, *bufio.ReadWriter) (net.Conn, *bufio.ReadWriter)
}

func (w rewraps) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.stores.Hijack()
	if err == nil {
		conn, rw = w.change(conn, rw)
	}
	return conn, rw, err
}

// endless unwraps to itself.
type endless struct{ *stores }

func (w *endless) Unwrap() http.ResponseWriter { return w }

// changes makes another status of every one.
type changes struct{ *forwards }

func (w changes) WriteHeader(int) { w.forwards.WriteHeader(http.StatusOK) }

// unhijackable says no when it is asked, as a wrapper of http.TimeoutHandler's does.
type unhijackable struct{ *forwards }

var errNoHijack = errors.New("not this one")

func (unhijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errNoHijack }

// silent says neither yes nor no.
type silent struct{ *forwards }

func (silent) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

// panics does so when it is hijacked.
type panics struct{ *stores }

func (panics) Hijack() (net.Conn, *bufio.ReadWriter, error) { panic("not this one") }

// gzips keeps the status until it is flushed, and begins its format then.
type gzips struct{ *stores }

func (w gzips) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w gzips) Flush() {
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write([]byte("\x1f\x8b"))
}

// encodesOpen is encodes with Unwrap.
type encodesOpen struct{ encodes }

func (w encodesOpen) Unwrap() http.ResponseWriter { return w.ResponseWriter }

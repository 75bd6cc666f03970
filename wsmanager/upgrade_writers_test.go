package wsmanager_test

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// seen records the statuses that the writers of a request received, by the writer's name.
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

// The following writers model those of common middleware. Each wraps another writer and can be
// hijacked.

// forwards records the status, passes it on, and has no Unwrap.
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

// stores keeps the status and has no Unwrap, like the logging writers of many tutorials.
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

// commits is stores that sends the status when it is hijacked.
type commits struct{ *stores }

func (w commits) Hijack() (net.Conn, *bufio.ReadWriter, error) { w.commit(); return w.stores.Hijack() }

// commitsOpen is commits with Unwrap.
type commitsOpen struct{ commits }

func (w commitsOpen) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// iris models the writer of that framework: it embeds a writer, WriteHeader only stores the
// status, and the wrapped writer is returned by a method with a different name than Unwrap.
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

// goZero models the writer of that framework: a named field, and a status that is stored and
// passed on.
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

// closures hides the wrapped writer in function values, where reflection can't find it.
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

// private has the wrapped writer in an embedded type with unexported names.
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

// buffers holds a response and its header back in a recorder. The writer that it hijacks is a
// separate field.
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

// encodes changes a response like compression middleware.
type encodes struct{ *forwards }

func (w encodes) WriteHeader(code int) {
	if w.Header().Get("Content-Type") != "" {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Del("Content-Length")
	}
	w.forwards.WriteHeader(code)
}

// cookies sets a header at the last moment, in WriteHeader.
type cookies struct{ *forwards }

func (w cookies) WriteHeader(code int) {
	w.Header().Add("Set-Cookie", "late=1")
	w.forwards.WriteHeader(code)
}
func (w cookies) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// rewraps returns the connection and the buffer that change returns, which may contain bytes.
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

// changes replaces every status with 200.
type changes struct{ *forwards }

func (w changes) WriteHeader(int) { w.forwards.WriteHeader(http.StatusOK) }

// unhijackable fails in Hijack, like a wrapper around http.TimeoutHandler's writer.
type unhijackable struct{ *forwards }

var errNoHijack = errors.New("not this one")

func (unhijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errNoHijack }

// silent returns neither a connection nor an error from Hijack.
type silent struct{ *forwards }

func (silent) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

// panics panics in Hijack.
type panics struct{ *stores }

func (panics) Hijack() (net.Conn, *bufio.ReadWriter, error) { panic("not this one") }

// gzips keeps the status until Flush, and then begins its encoded output.
type gzips struct{ *stores }

func (w gzips) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w gzips) Flush() {
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write([]byte("\x1f\x8b"))
}

// encodesOpen is encodes with Unwrap.
type encodesOpen struct{ encodes }

func (w encodesOpen) Unwrap() http.ResponseWriter { return w.ResponseWriter }

package pipelinetest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// common has the methods of both protocols' writers.
type common struct {
	header http.Header
	status int
	bytes  int64
}

// Reset clears the response, so that the writer can be reused. The header's memory is kept.
func (w *common) Reset() {
	clear(w.header)
	w.status, w.bytes = 0, 0
}

// Status returns the status that was sent, or 0.
func (w *common) Status() int { return w.status }

// BytesWritten returns the number of body bytes written.
func (w *common) BytesWritten() int64 { return w.bytes }

func (w *common) start(code int) {
	if w.status == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
		w.status = code
	}
}

// Header implements http.ResponseWriter.
func (w *common) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. The first status counts; of those below 200
// only 101 does.
func (w *common) WriteHeader(code int) { w.start(code) }

// Write implements http.ResponseWriter. The bytes are counted and dropped.
func (w *common) Write(p []byte) (int, error) {
	w.start(http.StatusOK)
	w.bytes += int64(len(p))
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *common) WriteString(s string) (int, error) {
	w.start(http.StatusOK)
	w.bytes += int64(len(s))
	return len(s), nil
}

// Flush implements http.Flusher.
func (w *common) Flush() { w.start(http.StatusOK) }

// FlushError is the method that http.ResponseController uses.
func (w *common) FlushError() error { w.Flush(); return nil }

// CloseNotify exists because net/http's writers have it. Its channel is nil.
func (w *common) CloseNotify() <-chan bool { return nil }

// SetReadDeadline does nothing.
func (w *common) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (w *common) SetWriteDeadline(time.Time) error { return nil }

// EnableFullDuplex does nothing.
func (w *common) EnableFullDuplex() error { return nil }

// HTTP1 has the methods of net/http's writer for HTTP/1.0 and HTTP/1.1.
type HTTP1 struct{ common }

// NewHTTP1 returns a writer that has sent nothing.
func NewHTTP1() *HTTP1 { return &HTTP1{common{header: http.Header{}}} }

// ReadFrom implements io.ReaderFrom.
func (w *HTTP1) ReadFrom(src io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, src)
}

// Hijack returns http.ErrNotSupported: there is no connection.
func (w *HTTP1) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }

// HTTP2 has the methods of net/http's writer for HTTP/2.
type HTTP2 struct{ common }

// NewHTTP2 returns a writer that has sent nothing.
func NewHTTP2() *HTTP2 { return &HTTP2{common{header: http.Header{}}} }

// Push returns http.ErrNotSupported, as a server does if the client has disabled pushes.
func (w *HTTP2) Push(string, *http.PushOptions) error { return http.ErrNotSupported }

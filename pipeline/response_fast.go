package pipeline

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// Most observed writers are those of net/http's own servers. For exactly their two sets of
// methods the wrap is written by hand and costs nothing beside the Response itself;
// httpsnoop, which serves every other writer, costs two allocations for each hooked method.
// Both call the same functions of response_lifecycle.go and pass the same tests. A writer
// with another set of methods, even one of a newer net/http, is served by httpsnoop:
// slower, but as correct.

// http1Methods are the methods of net/http's writer for HTTP/1.
type http1Methods interface {
	commonMethods
	io.ReaderFrom
	http.Hijacker
}

// http2Methods are the methods of net/http's writer for HTTP/2.
type http2Methods interface {
	commonMethods
	http.Pusher
}

// commonMethods are the methods of both.
type commonMethods interface {
	http.ResponseWriter
	io.StringWriter
	http.Flusher
	FlushError() error
	CloseNotify() <-chan bool
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
}

// fast returns the hand-written wrap of the writer, or nil if the writer has another set of
// methods. A wrapper that offers one of the two sets and no further interface known to
// httpsnoop may use it too; ours do.
func (res *Response) fast() http.ResponseWriter {
	_, push := res.w.(http.Pusher)
	if h1, ok := res.w.(http1Methods); ok {
		if push {
			return nil
		}
		res.http1 = h1
		return (*http1Writer)(res)
	}
	if !push {
		return nil
	}
	_, hijack := res.w.(http.Hijacker)
	_, readFrom := res.w.(io.ReaderFrom)
	if h2, ok := res.w.(http2Methods); ok && !hijack && !readFrom {
		res.http2 = h2
		return (*http2Writer)(res)
	}
	return nil
}

func (res *Response) enableFullDuplex(w commonMethods) error {
	if res.body != nil {
		res.body.duplex.Store(true)
	}
	return w.EnableFullDuplex()
}

// http1Writer is a Response in its role as a writer over HTTP/1.
type http1Writer Response

func (w *http1Writer) res() *Response { return (*Response)(w) }

func (w *http1Writer) Header() http.Header { return w.res().header() }

func (w *http1Writer) WriteHeader(code int) {
	if w.res().Started() && w.res().warnSuperfluous() {
		return
	}
	if w.res().startStatus(code) {
		w.http1.WriteHeader(code)
	}
}

func (w *http1Writer) Write(p []byte) (int, error) {
	if err := w.res().startBody(len(p)); err != nil {
		return 0, err
	}
	n, err := w.http1.Write(p)
	w.res().wrote(n)
	return n, err
}

func (w *http1Writer) WriteString(s string) (int, error) {
	if err := w.res().startBody(len(s)); err != nil {
		return 0, err
	}
	n, err := w.http1.WriteString(s)
	w.res().wrote(n)
	return n, err
}

func (w *http1Writer) Flush() {
	if w.res().startFlush() == nil {
		w.http1.Flush()
	}
}

func (w *http1Writer) FlushError() error {
	if err := w.res().startFlush(); err != nil {
		return err
	}
	return w.http1.FlushError()
}

func (w *http1Writer) ReadFrom(src io.Reader) (int64, error) {
	return w.res().readFrom(src, w.http1, w.http1)
}

func (w *http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.res().hijack(w.http1.Hijack)
}

func (w *http1Writer) CloseNotify() <-chan bool           { return w.http1.CloseNotify() }
func (w *http1Writer) SetReadDeadline(t time.Time) error  { return w.http1.SetReadDeadline(t) }
func (w *http1Writer) SetWriteDeadline(t time.Time) error { return w.http1.SetWriteDeadline(t) }
func (w *http1Writer) EnableFullDuplex() error            { return w.res().enableFullDuplex(w.http1) }
func (w *http1Writer) Unwrap() http.ResponseWriter        { return w.http1 }

// http2Writer is a Response in its role as a writer over HTTP/2.
type http2Writer Response

func (w *http2Writer) res() *Response { return (*Response)(w) }

func (w *http2Writer) Header() http.Header { return w.res().header() }

func (w *http2Writer) WriteHeader(code int) {
	if w.res().startStatus(code) {
		w.http2.WriteHeader(code)
	}
}

func (w *http2Writer) Write(p []byte) (int, error) {
	if err := w.res().startBody(len(p)); err != nil {
		return 0, err
	}
	n, err := w.http2.Write(p)
	w.res().wrote(n)
	return n, err
}

func (w *http2Writer) WriteString(s string) (int, error) {
	if err := w.res().startBody(len(s)); err != nil {
		return 0, err
	}
	n, err := w.http2.WriteString(s)
	w.res().wrote(n)
	return n, err
}

func (w *http2Writer) Flush() {
	if w.res().startFlush() == nil {
		w.http2.Flush()
	}
}

func (w *http2Writer) FlushError() error {
	if err := w.res().startFlush(); err != nil {
		return err
	}
	return w.http2.FlushError()
}

func (w *http2Writer) Push(target string, opts *http.PushOptions) error {
	return w.http2.Push(target, opts)
}

func (w *http2Writer) CloseNotify() <-chan bool           { return w.http2.CloseNotify() }
func (w *http2Writer) SetReadDeadline(t time.Time) error  { return w.http2.SetReadDeadline(t) }
func (w *http2Writer) SetWriteDeadline(t time.Time) error { return w.http2.SetWriteDeadline(t) }
func (w *http2Writer) EnableFullDuplex() error            { return w.res().enableFullDuplex(w.http2) }
func (w *http2Writer) Unwrap() http.ResponseWriter        { return w.http2 }

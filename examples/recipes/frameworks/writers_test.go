package frameworks_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// irisWriter behaves as iris's responseWriter (context/response_writer.go of v12): the
// status is kept until the first write, or the handler's return.
type irisWriter struct {
	http.ResponseWriter
	status, written int
}

const (
	irisNoWritten     = 0
	irisStatusWritten = -1
)

// Naive is iris's counterpart of Unwrap.
func (w *irisWriter) Naive() http.ResponseWriter { return w.ResponseWriter }

func (w *irisWriter) WriteHeader(status int) { w.status = status }

func (w *irisWriter) Write(p []byte) (int, error) {
	w.flush()
	n, err := w.ResponseWriter.Write(p)
	w.written += n
	return n, err
}

func (w *irisWriter) flush() {
	if w.written == irisNoWritten {
		w.written = irisStatusWritten
		w.ResponseWriter.WriteHeader(w.status)
	}
}

func (w *irisWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("hijack is not supported by this ResponseWriter")
	}
	w.written = irisStatusWritten
	return h.Hijack()
}

// goZeroWriter behaves as go-zero's WithCodeResponseWriter (rest/internal/response).
type goZeroWriter struct {
	Writer http.ResponseWriter
	code   int
}

func (w *goZeroWriter) Header() http.Header         { return w.Writer.Header() }
func (w *goZeroWriter) Write(p []byte) (int, error) { return w.Writer.Write(p) }
func (w *goZeroWriter) WriteHeader(code int)        { w.Writer.WriteHeader(code); w.code = code }

func (w *goZeroWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h, ok := w.Writer.(http.Hijacker); ok {
		return h.Hijack()
	}
	return nil, nil, errors.New("server doesn't support hijacking")
}

// printer is a logger of negroni's kind.
type printer struct{ w io.Writer }

func (p printer) Println(v ...any)               { _, _ = fmt.Fprintln(p.w, v...) }
func (p printer) Printf(format string, v ...any) { _, _ = fmt.Fprintf(p.w, format, v...) }

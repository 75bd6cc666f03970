package pipeline

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// bridge returns an adapter that offers the methods with which the writer can flush or
// hijack only through Unwrap; nil if there are none.
func (res *Response) bridge() http.ResponseWriter {
	flusher := httpx.Depth(res.raw, httpx.IsFlusher)
	hijacker := httpx.Depth(res.raw, httpx.IsHijacker)
	switch {
	case flusher <= 0 && hijacker <= 0: // none below the writer itself
		return nil
	case flusher >= 0 && hijacker >= 0:
		return (*bridgeBoth)(res)
	case flusher >= 0:
		return (*bridgeFlush)(res)
	default:
		return (*bridgeHijack)(res)
	}
}

// bridged is a Response in its role as a bridge. It keeps the writer's other methods.
// ReadFrom and WriteString work on every writer, so they are always offered; Push returns
// the writer's result.
type bridged Response

func (b *bridged) flush() error { return http.NewResponseController(b.raw).Flush() }

func (b *bridged) hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(b.raw).Hijack()
}

func (b *bridged) readFrom(src io.Reader) (int64, error) {
	if rf, ok := b.raw.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{b.raw}, src)
}

func (b *bridged) push(target string, opts *http.PushOptions) error {
	if p, ok := b.raw.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// bridgeBoth flushes and hijacks.
type bridgeBoth bridged

func (b *bridgeBoth) Header() http.Header                          { return b.raw.Header() }
func (b *bridgeBoth) WriteHeader(code int)                         { b.raw.WriteHeader(code) }
func (b *bridgeBoth) Write(p []byte) (int, error)                  { return b.raw.Write(p) }
func (b *bridgeBoth) WriteString(s string) (int, error)            { return io.WriteString(b.raw, s) }
func (b *bridgeBoth) ReadFrom(src io.Reader) (int64, error)        { return (*bridged)(b).readFrom(src) }
func (b *bridgeBoth) Push(t string, opts *http.PushOptions) error  { return (*bridged)(b).push(t, opts) }
func (b *bridgeBoth) Unwrap() http.ResponseWriter                  { return b.raw }
func (b *bridgeBoth) Flush()                                       { _ = (*bridged)(b).flush() }
func (b *bridgeBoth) FlushError() error                            { return (*bridged)(b).flush() }
func (b *bridgeBoth) Hijack() (net.Conn, *bufio.ReadWriter, error) { return (*bridged)(b).hijack() }

// bridgeFlush flushes.
type bridgeFlush bridged

func (b *bridgeFlush) Header() http.Header                   { return b.raw.Header() }
func (b *bridgeFlush) WriteHeader(code int)                  { b.raw.WriteHeader(code) }
func (b *bridgeFlush) Write(p []byte) (int, error)           { return b.raw.Write(p) }
func (b *bridgeFlush) WriteString(s string) (int, error)     { return io.WriteString(b.raw, s) }
func (b *bridgeFlush) ReadFrom(src io.Reader) (int64, error) { return (*bridged)(b).readFrom(src) }
func (b *bridgeFlush) Push(t string, opts *http.PushOptions) error {
	return (*bridged)(b).push(t, opts)
}
func (b *bridgeFlush) Unwrap() http.ResponseWriter { return b.raw }
func (b *bridgeFlush) Flush()                      { _ = (*bridged)(b).flush() }
func (b *bridgeFlush) FlushError() error           { return (*bridged)(b).flush() }

// bridgeHijack hijacks.
type bridgeHijack bridged

func (b *bridgeHijack) Header() http.Header                   { return b.raw.Header() }
func (b *bridgeHijack) WriteHeader(code int)                  { b.raw.WriteHeader(code) }
func (b *bridgeHijack) Write(p []byte) (int, error)           { return b.raw.Write(p) }
func (b *bridgeHijack) WriteString(s string) (int, error)     { return io.WriteString(b.raw, s) }
func (b *bridgeHijack) ReadFrom(src io.Reader) (int64, error) { return (*bridged)(b).readFrom(src) }
func (b *bridgeHijack) Push(t string, opts *http.PushOptions) error {
	return (*bridged)(b).push(t, opts)
}
func (b *bridgeHijack) Unwrap() http.ResponseWriter                  { return b.raw }
func (b *bridgeHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) { return (*bridged)(b).hijack() }

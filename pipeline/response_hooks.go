package pipeline

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/felixge/httpsnoop"
)

// observe wraps w so that res hears of every way in which a response can start.
// The result offers the optional interfaces of w, and also those that are
// reachable below w only through Unwrap: otherwise http.ResponseController
// would walk past the hooks and start the response unseen.
func observe(w http.ResponseWriter, res *Response) http.ResponseWriter {
	header := w.Header
	base := bridge(w)
	return httpsnoop.Wrap(base, httpsnoop.Hooks{
		WriteHeader: func(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
			return func(code int) {
				// 1xx announces, it does not start. A code that net/http
				// panics about starts nothing either.
				if code >= 200 && code <= 999 || code == http.StatusSwitchingProtocols && res.http1 {
					res.start(header, code)
				}
				next(code)
			}
		},
		Write: func(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
			return func(p []byte) (int, error) {
				res.start(header, http.StatusOK)
				n, err := next(p)
				res.bytes.Add(int64(n))
				return n, err
			}
		},
		WriteString: func(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(s string) (int, error) {
				res.start(header, http.StatusOK)
				n, err := next(s)
				res.bytes.Add(int64(n))
				return n, err
			}
		},
		ReadFrom: func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) {
				var begun int64
				if !res.Started() {
					// A source that fails or is empty starts nothing. net/http
					// reads this much by itself before it hands the rest over.
					var buf [512]byte
					first := writerFunc(func(p []byte) (int, error) {
						res.start(header, http.StatusOK)
						return base.Write(p)
					})
					n, err := io.CopyBuffer(first, io.LimitReader(src, int64(len(buf))), buf[:])
					res.bytes.Add(n)
					if err != nil || n < int64(len(buf)) {
						return n, err
					}
					begun = n
				}
				n, err := next(src)
				res.bytes.Add(n)
				return begun + n, err
			}
		},
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() {
				res.start(header, http.StatusOK)
				res.flushed.Store(true)
				next()
			}
		},
		FlushError: func(next httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc {
			return func() error {
				res.start(header, http.StatusOK)
				res.flushed.Store(true)
				return next()
			}
		},
		Hijack: func(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
			return func() (net.Conn, *bufio.ReadWriter, error) {
				started := res.Started()
				res.start(header, http.StatusSwitchingProtocols)
				conn, rw, err := next()
				if err != nil {
					if !started {
						res.reopen()
					}
					return conn, rw, err
				}
				res.upgraded.Store(true)
				res.mu.Lock()
				if res.phase.Load() != phaseCompleted {
					res.hijacked = conn
				}
				res.mu.Unlock()
				return conn, rw, nil
			}
		},
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// bridge returns w, or where w can flush or hijack only by its Unwrap method, an
// adapter that offers these itself.
func bridge(w http.ResponseWriter) http.ResponseWriter {
	flush, flushBelow := reach(w, canFlush)
	hijack, hijackBelow := reach(w, canHijack)
	if !flushBelow && !hijackBelow {
		return w
	}
	b := bridged{w, http.NewResponseController(w)}
	switch {
	case flush && hijack:
		return struct {
			bridged
			bridgeFlush
			bridgeHijack
		}{b, bridgeFlush{b.rc}, bridgeHijack{b.rc}}
	case flush:
		return struct {
			bridged
			bridgeFlush
		}{b, bridgeFlush{b.rc}}
	default:
		return struct {
			bridged
			bridgeHijack
		}{b, bridgeHijack{b.rc}}
	}
}

// reach reports whether can holds for w or something that it unwraps to, and
// whether it holds only below w.
func reach(w http.ResponseWriter, can func(http.ResponseWriter) bool) (ok, below bool) {
	for depth := 0; ; depth++ {
		if can(w) {
			return true, depth > 0
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false, false
		}
		w = u.Unwrap()
	}
}

func canFlush(w http.ResponseWriter) bool {
	switch w.(type) {
	case http.Flusher, interface{ FlushError() error }:
		return true
	}
	return false
}

func canHijack(w http.ResponseWriter) bool {
	_, ok := w.(http.Hijacker)
	return ok
}

// bridged keeps what w offers besides. ReadFrom and WriteString work on every
// writer, so offering them always is no lie; Push says what w would.
type bridged struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func (b bridged) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b bridged) ReadFrom(src io.Reader) (int64, error) {
	if rf, ok := b.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{b.ResponseWriter}, src)
}

func (b bridged) WriteString(s string) (int, error) { return io.WriteString(b.ResponseWriter, s) }

func (b bridged) Push(target string, opts *http.PushOptions) error {
	if p, ok := b.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

type bridgeFlush struct{ rc *http.ResponseController }

func (b bridgeFlush) Flush()            { _ = b.rc.Flush() }
func (b bridgeFlush) FlushError() error { return b.rc.Flush() }

type bridgeHijack struct{ rc *http.ResponseController }

func (b bridgeHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) { return b.rc.Hijack() }

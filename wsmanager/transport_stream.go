package wsmanager

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// streamTransport is the transport over a stream of an HTTP/2 connection. net/http
// lends its two halves to the handler, until that returns: leave sees to it that
// nothing touches them afterwards.
//
// It differs from a socket in this. Deadlines of streams can't be taken back once they
// have passed, so an interrupted read is the last one. Our direction can't be ended
// before the other's: the handler's return ends both. And as that loses nothing that
// was written, whatever the peer still sends (RFC 9113, section 8.1), there is no
// need to read on until the peer has seen our close frame.
type streamTransport struct {
	w      http.ResponseWriter // used by one write at a time
	rc     *http.ResponseController
	body   io.Reader
	remote net.Addr // nil if the request does not tell

	// Owned by the reader.
	full      bool // the last read filled its buffer
	lingering bool // nothing is read any more

	mu          sync.Mutex // guards what follows; comes after Conn.mu
	changed     sync.Cond
	interrupted bool
	finished    bool // all is said
	closed      bool // nothing is written any more
	writing     bool // w is in use
}

func newStreamTransport(w http.ResponseWriter, r *http.Request) *streamTransport {
	t := &streamTransport{w: w, rc: http.NewResponseController(w), body: r.Body}
	t.changed.L = &t.mu
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		t.remote = net.TCPAddrFromAddrPort(addr)
	}
	return t
}

// read implements transport. Where the body is net/http's own, no buffer is held
// while it waits.
func (t *streamTransport) read(consume func(p []byte) error) error {
	if t.lingering {
		return t.linger()
	}
	if _, err := t.body.Read(nil); err != nil { // waits until there is something
		return t.readError(err)
	}
	if t.full {
		buf := readBuffers.Get().(*[readBufferSize]byte)
		defer readBuffers.Put(buf)
		return t.readInto(buf[:], consume)
	}
	buf := idleBuffers.Get().(*[idleBufferSize]byte)
	defer idleBuffers.Put(buf)
	return t.readInto(buf[:], consume)
}

func (t *streamTransport) readInto(buf []byte, consume func(p []byte) error) error {
	n, err := t.body.Read(buf)
	t.full = n == len(buf)
	if n > 0 && !t.isInterrupted() {
		if err := consume(buf[:n]); err != nil {
			return err
		}
	}
	return t.readError(err)
}

// readError is a read's error, or that there will be no other read.
func (t *streamTransport) readError(err error) error {
	if t.isInterrupted() {
		return errInterrupted
	}
	return readError(err)
}

func (t *streamTransport) isInterrupted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.interrupted
}

func (t *streamTransport) tryWrite([]byte) (int, error) { return 0, nil }
func (t *streamTransport) triesWrites() bool            { return false }
func (t *streamTransport) wantWritable() bool           { return false }
func (t *streamTransport) awaitWritable() error         { return errors.ErrUnsupported }

// write implements transport. It waits for the peer's flow control, and for the
// connection that the stream shares with others.
func (t *streamTransport) write(p []byte, progress func()) (written int, err error) {
	if !t.use(true) {
		return 0, net.ErrClosed
	}
	defer t.use(false)
	for written < len(p) {
		n, err := t.w.Write(p[written:min(len(p), written+writePiece)])
		if err == nil {
			err = t.rc.Flush()
		}
		if err != nil {
			return written, err // how much of this piece is out nobody knows
		}
		written += n
		progress()
	}
	return written, nil
}

// use begins or ends the use of w. It reports whether w may be used.
func (t *streamTransport) use(begin bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = begin && !t.closed
	t.changed.Broadcast()
	return t.writing
}

// interrupt implements transport, for good.
func (t *streamTransport) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interruptLocked()
}

func (t *streamTransport) interruptLocked() {
	if !t.interrupted && !t.closed {
		_ = t.rc.SetReadDeadline(longAgo) // acceptH2 has seen that it works
	}
	t.interrupted = true
}

// resume is called by a reader that has nothing to do but wait for the end.
func (t *streamTransport) resume() { t.lingering = true }

// take implements transport. The goroutine that it was taken from is that of the request,
// and stays until the end: see goroutineDriver.serve.
func (t *streamTransport) take() (driver, bool) { return goroutineDriver{}, true }

// linger waits until all is said, or nothing more can be.
func (t *streamTransport) linger() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.finished && !t.closed {
		t.changed.Wait()
	}
	return net.ErrClosed
}

// closeWrite lets the handler return. That ends the stream behind what was written.
func (t *streamTransport) closeWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finished = true
	t.changed.Broadcast()
	return nil
}

// close lets the handler return, too. The stream is ended by END_STREAM, as what
// RFC 8441, section 5, calls an orderly closure, and by RST_STREAM where a write is
// under way that has to be broken off. (The code is INTERNAL_ERROR then, not CANCEL:
// net/http has no other.) A write whose bytes are out already is let return first: the
// peer may have answered them before our goroutine got that far.
func (t *streamTransport) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.interruptLocked()
	t.closed = true
	t.changed.Broadcast()
	if t.writing {
		return t.rc.SetWriteDeadline(time.Now().Add(breakOff))
	}
	return nil
}

// breakOff is how long a write under way has to come to its end by itself when the
// stream is closed.
const breakOff = 20 * time.Millisecond

// leave waits until nothing uses the stream, for good. After it the handler may
// return.
func (t *streamTransport) leave() {
	_ = t.close() // there is nothing to do about an error; it is closed, unless something went very wrong
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.writing {
		t.changed.Wait()
	}
}

func (t *streamTransport) remoteAddr() net.Addr { return t.remote }

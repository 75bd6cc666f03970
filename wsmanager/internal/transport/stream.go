package transport

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Stream is the transport over a stream of an HTTP/2 connection. It is a Reader and a
// BlockingWriter. net/http lends the two directions to the handler until that returns:
// [Stream.Leave] ensures that they are not used afterwards.
//
// It differs from a socket:
//   - A deadline of a stream cannot be moved once it has expired, so no bytes can be read
//     after an interruption.
//   - Our direction cannot be ended before the peer's: the handler's return ends both.
//   - The end loses no bytes that were written, whatever the peer still sends (RFC 9113,
//     section 8.1). So it is not necessary to read until the peer has seen our close frame.
type Stream struct {
	w      http.ResponseWriter // used by one write at a time
	rc     *http.ResponseController
	body   io.Reader
	remote net.Addr

	full    bool // the last read filled its buffer; owned by the reader
	resumed bool // Read only waits for the end; owned by the reader

	mu          sync.Mutex // guards the fields below; the last lock that is taken
	changed     sync.Cond
	interrupted bool
	finished    bool // CloseWrite was called
	closed      bool
	writing     bool // w is in use
}

// NewStream makes the transport over the stream of a request. w must be net/http's own
// writer, and the answer must have been flushed. Read deadlines of the stream must work.
func NewStream(w http.ResponseWriter, body io.Reader, remote net.Addr) *Stream {
	t := &Stream{w: w, rc: http.NewResponseController(w), body: body, remote: remote}
	t.changed.L = &t.mu
	return t
}

// Read implements Reader. If the body is net/http's own, it waits without a buffer.
func (t *Stream) Read(r Receiver) error {
	if t.resumed {
		return t.waitClosed()
	}
	if _, err := t.body.Read(nil); err != nil { // waits until there are bytes
		return t.readError(err)
	}
	if p := r.Space(); p != nil {
		return t.readInto(p, r)
	}
	if t.full {
		buf := readBuffers.Get().(*[readBufferSize]byte)
		defer readBuffers.Put(buf)
		return t.readInto(buf[:], r)
	}
	buf := idleBuffers.Get().(*[idleBufferSize]byte)
	defer idleBuffers.Put(buf)
	return t.readInto(buf[:], r)
}

func (t *Stream) readInto(buf []byte, r Receiver) error {
	n, err := t.body.Read(buf)
	t.full = n == len(buf)
	if n > 0 && !t.isInterrupted() {
		if err := r.Receive(buf[:n]); err != nil {
			return err
		}
	}
	return t.readError(err)
}

// readError returns ErrInterrupted after an interruption, even if bytes were read, because
// the next read would fail.
func (t *Stream) readError(err error) error {
	if t.isInterrupted() {
		return ErrInterrupted
	}
	return readError(err)
}

func (t *Stream) isInterrupted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.interrupted
}

// Write implements BlockingWriter. It waits for the peer's flow control, and for the
// HTTP/2 connection, which the stream shares with others.
func (t *Stream) Write(p []byte, progress func()) (written int, err error) {
	if !t.beginWrite() {
		return 0, net.ErrClosed
	}
	defer t.endWrite()
	for written < len(p) {
		n, err := t.w.Write(p[written:min(len(p), written+writePiece)])
		if err == nil {
			err = t.rc.Flush()
		}
		if err != nil {
			return written, err // it is unknown how much of this piece was sent
		}
		written += n
		progress()
	}
	return written, nil
}

// beginWrite reports whether w may be used. If so, endWrite must follow.
func (t *Stream) beginWrite() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = !t.closed
	return t.writing
}

func (t *Stream) endWrite() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = false
	t.changed.Broadcast()
}

// Interrupt implements Transport. The stream cannot be read afterwards.
func (t *Stream) Interrupt() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interruptLocked()
	return nil
}

func (t *Stream) interruptLocked() {
	if !t.interrupted && !t.closed {
		_ = t.rc.SetReadDeadline(past) // works, see NewStream
	}
	t.interrupted = true
}

// Resume implements Reader. From now on Read only waits for the end.
func (t *Stream) Resume() error {
	t.resumed = true
	return nil
}

// waitClosed waits until our direction, or the stream, is closed.
func (t *Stream) waitClosed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.finished && !t.closed {
		t.changed.Wait()
	}
	return net.ErrClosed
}

// CloseWrite implements Transport. It makes waitClosed return, and with it the handler,
// which ends the stream after the bytes that were written.
func (t *Stream) CloseWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finished = true
	t.changed.Broadcast()
	return nil
}

// Close implements Transport. Like CloseWrite it makes the handler return. The stream ends
// with END_STREAM, as an orderly closure in RFC 8441, section 5, or with RST_STREAM if a
// write has to be aborted. (The code is INTERNAL_ERROR then instead of CANCEL: net/http has
// no other.) A write in progress gets writeGrace first, because the peer may have answered
// its bytes before our goroutine has seen that they were sent.
func (t *Stream) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.interruptLocked()
	t.closed = true
	t.changed.Broadcast()
	if t.writing {
		return t.rc.SetWriteDeadline(time.Now().Add(writeGrace))
	}
	return nil
}

// writeGrace is the time that a write in progress has to return when the stream is closed.
const writeGrace = 20 * time.Millisecond

// Leave closes the stream and waits until it is not in use. The handler may return
// afterwards.
func (t *Stream) Leave() {
	_ = t.Close() // usually closed already; for an error there is no remedy
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.writing {
		t.changed.Wait()
	}
}

// RemoteAddr implements Transport.
func (t *Stream) RemoteAddr() net.Addr { return t.remote }

package wsmanager

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// streamTransport is the transport over a stream of an HTTP/2 connection. net/http
// lends its two halves to the handler, until that returns: leave sees to it that
// nothing touches them afterwards.
//
// What is special about it: a read can't be interrupted and go on afterwards, as
// net/http's deadlines of streams can't be taken back once they have passed. So
// interrupt does what the reader would do next, on another goroutine. And our direction
// can't be ended before the other: the stream ends when the handler returns.
type streamTransport struct {
	c    *Conn
	w    http.ResponseWriter // written to by one write at a time
	rc   *http.ResponseController
	body io.Reader

	// Owned by the reader.
	full      bool // the last read filled its buffer
	lingering bool // the connection has ended; what comes is thrown away

	mu          sync.Mutex // guards what follows; comes after Conn.mu
	closed      bool       // nothing is written any more, and what comes is of no interest
	writing     bool       // w is in use
	unused      sync.Cond  // writing has become false
	interrupted bool
	reading     bool          // the reader waits for the peer, or has just been woken
	ending      bool          // somebody ends the connection for the application
	ended       chan struct{} // closed when interrupt has done that; nil if it had not to
}

func newStreamTransport(c *Conn, w http.ResponseWriter, body io.Reader) *streamTransport {
	t := &streamTransport{c: c, w: w, rc: http.NewResponseController(w), body: body}
	t.unused.L = &t.mu
	return t
}

// read implements transport. Where the body is net/http's own, no buffer is held
// while it waits.
func (t *streamTransport) read(consume func(p []byte) error) error {
	if !t.beginRead() {
		return errInterrupted
	}
	if _, err := t.body.Read(nil); err != nil { // waits until there is something
		return t.endRead(nil, err, consume)
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
	return t.endRead(buf[:n], err, consume)
}

// beginRead reports whether there is anything to wait for.
func (t *streamTransport) beginRead() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.interrupted && !t.lingering {
		return false
	}
	t.reading = true
	return true
}

// endRead hands on what came, to whom it concerns now.
func (t *streamTransport) endRead(p []byte, err error, consume func(p []byte) error) error {
	t.mu.Lock()
	t.reading = false
	closed, ended := t.closed, t.ended
	t.mu.Unlock()
	if closed {
		return errInterrupted
	}
	if ended != nil && !t.lingering {
		<-ended
		t.c.discard(p)
		return errInterrupted
	}
	if len(p) > 0 {
		if err := consume(p); err != nil {
			return err
		}
	}
	return readError(err)
}

// interrupt ends the connection for the application, if the reader is waiting and
// could not. Conn.mu is held.
func (t *streamTransport) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interrupted = true
	if !t.reading || t.ending {
		return // the reader sees to it
	}
	ended := make(chan struct{})
	t.ending, t.ended = true, ended
	go func() {
		defer close(ended) // also when OnClose ends its goroutine
		t.c.finish(errInterrupted)
	}()
}

// end ends the connection for the application, unless that is done, and leaves the
// reader to throw away what comes.
func (t *streamTransport) end(err error) {
	t.lingering = true
	t.mu.Lock()
	mine, ended := !t.ending, t.ended
	t.ending = true
	t.mu.Unlock()
	if mine {
		t.c.finish(err)
	} else {
		<-ended
	}
}

func (t *streamTransport) resume() {} // lingering does it

func (t *streamTransport) tryWrite([]byte) (int, error) { return 0, nil }
func (t *streamTransport) triesWrites() bool            { return false }
func (t *streamTransport) wantWritable() bool           { return false }
func (t *streamTransport) awaitWritable() error         { return errors.ErrUnsupported }

// write implements transport. It waits for the peer's flow control, and for
// the connection that the stream shares with others.
func (t *streamTransport) write(p []byte, progress func()) (written int, err error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return 0, net.ErrClosed
	}
	t.writing = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.writing = false
		t.unused.Broadcast()
	}()
	for written < len(p) {
		n, err := t.w.Write(p[written:min(len(p), written+writePiece)])
		if err == nil {
			err = t.rc.Flush()
		}
		if err != nil {
			return written, err // what is out of this piece nobody knows
		}
		written += n
		progress()
	}
	return written, nil
}

// closeWrite does nothing: net/http ends our direction when the handler returns, and
// resets the stream then if the peer has not ended its own.
func (t *streamTransport) closeWrite() error { return nil }

// close makes the handler return, which ends the stream: with END_STREAM, as what
// RFC 8441, section 5, calls an orderly closure; or, if a write is under way, which
// has to be broken off, by RST_STREAM. (Its code is INTERNAL_ERROR, not CANCEL as the
// RFC has it: net/http has no other.)
func (t *streamTransport) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	err := t.rc.SetReadDeadline(longAgo)
	if t.writing {
		err = errors.Join(err, t.rc.SetWriteDeadline(longAgo))
	}
	return err
}

// leave waits until nothing uses the stream. After it the handler may return.
func (t *streamTransport) leave() {
	_ = t.close() // it is closed, unless something went very wrong
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.writing {
		t.unused.Wait()
	}
}

func (t *streamTransport) remoteAddr() net.Addr { return nil } // the request has told

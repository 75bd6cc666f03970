package wsmanager

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// errEnded is what consume returns when the connection's end was dealt with.
var errEnded = errors.New("wsmanager: the connection has ended")

// attach gives a registered connection its transport: the handshake went out.
// What was sent meanwhile goes out now.
func (c *Conn) attach(t transport.Transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t, c.attached = t, true
	now := c.m.wheel.Now()
	c.lastRead.Store(now)
	c.pingDue = now + c.pingTicks()
	if c.state == stateCut {
		_ = t.Close() // Shutdown has given up waiting for the handshake
		return
	}
	c.scheduleLocked()
	c.flushLocked()
	if c.mode == closeFail && c.state == stateClosing {
		t.Interrupt() // it ran over before it was there
	}
}

// abandon ends a connection whose handshake broke off: no callback knows of it,
// but somebody may have found it in the registry.
func (c *Conn) abandon() {
	c.mu.Lock()
	c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Err: errNoHandshake})
	c.mu.Unlock()
	c.m.unregister(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked()
}

var errNoHandshake = errors.New("wsmanager: the handshake broke off")

// endLocked ends the Context: the connection has ended for the application.
func (c *Conn) endLocked() {
	c.ended = true
	if r := c.rare; r != nil && r.ctx != nil {
		r.cancel(r.cause.callbackError())
	}
}

// open tells the application that the connection is there, and handles what came with
// its handshake.
func (c *Conn) open(early []byte) error {
	c.logStart()
	if len(early) > 0 {
		c.traffic().bytesIn.Add(uint64(len(early)))
		c.frames = c.newReader()
		c.frames.SetUnread(early) // for a goroutine that takes over while OnConnect runs
	}
	if f := c.m.callbacks.OnConnect; f != nil {
		if err := c.endBy(c.call(func() error { return f(c) })); err != nil {
			return err
		}
	}
	if len(early) == 0 {
		return nil
	}
	c.frames.SetUnread(nil)
	return c.feed(early)
}

// endBy ends the connection as a callback's error asks for: like Close, so that
// what the callback sent before it returned arrives. A panic fails it.
func (c *Conn) endBy(err error) error {
	if err == nil {
		return nil // before anything that allocates
	}
	var ce *CloseError
	if errors.Is(err, ErrPanic) || !errors.As(err, &ce) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		c.rare.late = ce.Err
	}
	c.closeLocked(ce, closeGraceful)
	return nil // goes on to read, for the peer's close frame
}

// consume handles bytes from the peer.
func (c *Conn) consume(p []byte) error {
	c.lastRead.Store(c.m.wheel.Coarse())
	c.traffic().bytesIn.Add(uint64(len(p)))
	return c.feed(p)
}

// feed is consume for bytes that were counted.
func (c *Conn) feed(p []byte) error {
	if c.frames == nil {
		c.frames = c.newReader()
	}
	read, err := c.frames.Feed(p, (*connFrames)(c))
	switch {
	case err == frame.ErrTaken:
		return err // c.frames belongs to another goroutine
	case err != nil && err != errEnded:
		err = closeErrorOf(err)
		c.fail(err) // before the peer's close frame is found behind what has failed
		c.discard(p[read:])
	case c.frames.Idle():
		frame.PutReader(c.frames)
		c.frames = nil
	}
	c.m.broadcaster.flushDeferred()
	c.lastRead.Store(c.m.wheel.Coarse()) // while a callback ran, nothing could be read
	return err
}

// newReader returns a reader for the connection's received bytes.
func (c *Conn) newReader() *frame.Reader {
	cfg := frame.Config{Masked: c.m.keys == nil, Limit: c.m.opts.MaxMessageSize}
	if c.who.deflate {
		cfg.CompressedLimit = deflate.MaxCompressed(cfg.Limit)
	}
	return frame.GetReader(cfg)
}

// closeErrorOf converts a *frame.Error to the *CloseError that ends the connection. It
// returns other errors unchanged.
func closeErrorOf(err error) error {
	fe, ok := err.(*frame.Error)
	if !ok {
		return err
	}
	cause := fe.Err
	if errors.Is(cause, frame.ErrEmptyFragments) {
		cause = fmt.Errorf("%w: %w", ErrRateLimit, cause)
	}
	return &CloseError{Code: StatusCode(fe.Code), Err: cause}
}

// connFrames is the frame.Handler of an open connection.
type connFrames Conn

func (f *connFrames) OnData(op ws.OpCode, payload []byte, more bool) error {
	c := (*Conn)(f)
	t := MessageType(op)
	if wanted, err := c.arrived(received{t, false, payload}); !wanted {
		return err
	}
	return c.handle(t, payload, more)
}

// OnCompressed inflates a message once it has arrived completely, so that a slow peer
// holds no inflater and no more memory than its bytes. Messages that will be dropped are
// not inflated.
func (f *connFrames) OnCompressed(op ws.OpCode, payload []byte, more bool) error {
	c := (*Conn)(f)
	t := MessageType(op)
	if wanted, err := c.arrived(received{t, true, payload}); !wanted {
		return err
	}
	buf := getFrame()
	defer putFrame(buf)
	plain, err := c.inflate(buf, t, payload)
	if err != nil {
		return err
	}
	return c.handle(t, plain, more)
}

// inflate inflates a message into the buffer. Its error is a *CloseError.
func (c *Conn) inflate(buf *[]byte, t MessageType, payload []byte) ([]byte, error) {
	plain, err := deflate.Inflate(*buf, payload, t == TextMessage, c.m.opts.MaxMessageSize)
	*buf = plain
	if err != nil {
		return nil, closeErrorOf(err)
	}
	c.m.stats.inflated.Add(1)
	return plain[:len(plain):len(plain)], nil
}

// arrived counts a message and reports whether it is to be handled now; if not, the error
// says why the connection ends, nil if it is closing already or the message was queued.
func (c *Conn) arrived(m received) (wanted bool, err error) {
	c.traffic().messagesIn.Add(1)
	if c.reception.isClosing() {
		return false, nil
	}
	if err := c.checkMessageRate(); err != nil {
		return false, err
	}
	if c.m.callbacks.OnMessage != nil && c.calling.Load()&callTaken != 0 && c.enqueue(m) {
		return false, nil
	}
	return true, nil
}

// handle tells the application of a message.
func (c *Conn) handle(t MessageType, payload []byte, more bool) error {
	if c.m.callbacks.OnMessage == nil {
		return nil
	}
	if more && c.m.broadcaster.batcher.wanted.Load() {
		epoch := c.m.broadcaster.batcher.enter()
		defer c.m.broadcaster.batcher.leave(epoch)
	}
	return c.endBy(c.callMessage(Message{Type: t, Payload: payload}))
}

func (f *connFrames) OnPing(payload []byte) error {
	c := (*Conn)(f)
	if err := c.checkControlRate(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendControlLocked(ws.OpPong, payload)
	return nil
}

// OnPong only counts: Conn.consume has noted the arrival. Answers to our pings do not count
// against the peer's limit.
func (f *connFrames) OnPong([]byte) error {
	c := (*Conn)(f)
	if c.unanswered.Load() > 0 {
		c.unanswered.Add(-1)
		return nil
	}
	return c.checkControlRate()
}

func (f *connFrames) OnClose(code ws.StatusCode, reason string) error {
	c := (*Conn)(f)
	c.peerClosed(StatusCode(code), reason)
	return errEnded
}

// discard looks through what comes when the connection has ended for the
// application, for the close frame that answers ours.
func (c *Conn) discard(p []byte) {
	if c.frames == nil {
		c.frames = c.newReader()
	}
	if !c.frames.Failed() {
		_, _ = c.frames.Feed(p, (*lastFrames)(c)) // after an error no close frame can be found
	}
}

// lastFrames is the frame.Handler of a connection that has ended for the application. It
// drops all but close frames.
type lastFrames Conn

func (f *lastFrames) OnData(ws.OpCode, []byte, bool) error       { return nil }
func (f *lastFrames) OnCompressed(ws.OpCode, []byte, bool) error { return nil }
func (f *lastFrames) OnPing([]byte) error                        { return nil }
func (f *lastFrames) OnPong([]byte) error                        { return nil }

func (f *lastFrames) OnClose(code ws.StatusCode, reason string) error {
	(*Conn)(f).peerClosed(StatusCode(code), reason)
	return nil
}

// callMessage calls OnMessage, without a closure.
func (c *Conn) callMessage(m Message) (err error) {
	c.begins()
	err = errExited // if it ends the goroutine
	defer func() {
		if v := recover(); v != nil {
			err = c.recovered(v)
		}
		if c.returned(err) {
			err = frame.ErrTaken
		}
	}()
	return callbackFailed(c.m.callbacks.OnMessage(c, m))
}

// call calls another callback than OnClose.
func (c *Conn) call(f func() error) (err error) {
	c.begins()
	err = errExited
	defer func() {
		if v := recover(); v != nil {
			err = c.recovered(v)
		}
		if c.returned(err) {
			err = frame.ErrTaken
		}
	}()
	return callbackFailed(f())
}

// recovered is the end that a panic makes.
func (c *Conn) recovered(v any) error { return c.crashed(v, debug.Stack()) }

func (c *Conn) crashed(v any, stack []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rareLocked().stack = stack
	return &CloseError{Code: StatusInternalError, Err: fmt.Errorf("%w: %v", ErrPanic, v)}
}

// callbackFailed turns a callback's error into the end that it asks for.
func callbackFailed(err error) error {
	if err == nil {
		return nil
	}
	var ce *CloseError
	if errors.As(err, &ce) && checkClose(ce.Code, ce.Reason) == nil {
		return &CloseError{Code: ce.Code, Reason: ce.Reason, Err: ce.Err}
	}
	return &CloseError{Code: StatusInternalError, Err: err}
}

// finish ends the connection for the application: out of the registry, logged,
// OnClose, once callbacks that run have returned. err is why the reader stopped; what had
// begun to end the connection before that counts more. The transport may live on for as
// long as the close handshake takes.
func (c *Conn) finish(err error) {
	c.mu.Lock()
	var ce *CloseError
	switch {
	case errors.Is(err, errEnded), errors.Is(err, transport.ErrInterrupted) && c.state != stateOpen:
	case errors.As(err, &ce):
		c.failLocked(ce)
	default:
		c.inputEndsLocked()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // for the one who reads the log: no close frame came
		}
		c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err})
	}
	cause := c.rare.cause
	c.mu.Unlock()

	c.m.admission.trackClosing(c, true)
	c.m.unregister(c)
	c.m.stats.close(cause.Code)
	c.mu.Lock()
	c.endLocked()
	c.mu.Unlock()
	c.afterCallbacks(func() { c.closed(cause) })
}

// closed tells the application that the connection has ended.
func (c *Conn) closed(cause *CloseError) {
	c.logEnd(cause)
	f := c.m.callbacks.OnClose
	if f == nil {
		return
	}
	if c.calling.Or(callRuns)&callRuns == 0 { // or the callbacks before it are counted still
		defer c.calling.And(^callRuns)
	}
	defer func() {
		if v := recover(); v != nil {
			c.logClosePanic(c.recovered(v))
		}
	}()
	f(c, cause.callbackError())
}

// dismiss is the very end of a connection whose transport is released.
func (c *Conn) dismiss() {
	c.afterCallbacks(func() {
		c.m.admission.trackClosing(c, false)
		c.m.admission.releaseSlot()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.rare.over != nil { // it has ended, so rare is there
			close(c.rare.over)
		}
	})
}

// fail fails the connection, if the error says how; finish does the rest.
func (c *Conn) fail(err error) {
	var ce *CloseError
	if !errors.As(err, &ce) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inputEndsLocked()
	c.failLocked(ce)
}

// failLocked fails the connection because of what was read, or a panic; once for one
// error.
func (c *Conn) failLocked(ce *CloseError) {
	switch {
	case c.state == stateOpen:
		c.closeLocked(ce, closeFail)
		return
	case c.rare.cause == ce:
		return
	}
	c.rare.late = ce.Err
	if c.state == stateClosing && c.mode == closeGraceful {
		// We were waiting for the peer's close frame; it won't be understood.
		c.mode = closeFail
		c.dropLocked()
		if c.rare.closeSent {
			c.closeSentLocked()
		}
	}
}

// release gives back what the transport and the wheel hold.
func (c *Conn) release() {
	c.mu.Lock()
	c.cutLocked(nil)
	c.mu.Unlock()
	c.m.wheel.Remove((*wheelConn)(c))
}

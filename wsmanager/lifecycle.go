package wsmanager

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/gobwas/ws"
)

// errEnded is what consume returns when the connection's end was dealt with.
var errEnded = errors.New("wsmanager: the connection has ended")

// attach gives a registered connection its transport: the handshake went out.
// What was sent meanwhile goes out now.
func (c *Conn) attach(t transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.remoteAddr() == nil {
		t = &addressed{t, c.t.remoteAddr()}
	}
	c.t, c.attached = t, true
	now := c.m.wheel.now()
	c.lastRead.Store(now)
	c.pingDue = now + c.pingTicks()
	if c.state == stateCut {
		_ = t.close() // Shutdown has given up waiting for the handshake
		return
	}
	c.scheduleLocked()
	c.flushLocked()
	if c.mode == closeFail && c.state == stateClosing {
		t.interrupt() // it ran over before it was there
	}
}

// abandon ends a connection whose handshake broke off: no callback knows of it,
// but somebody may have found it in the registry.
func (c *Conn) abandon() {
	c.mu.Lock()
	c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Err: errNoHandshake})
	c.mu.Unlock()
	c.unregister()
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

// open tells the application that the connection is there.
func (c *Conn) open() error {
	c.logStart()
	if f := c.m.callbacks.OnConnect; f != nil {
		return c.endBy(c.call(func() error { return f(c) }))
	}
	return nil
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
	c.lastRead.Store(c.m.wheel.coarse())
	c.traffic().bytesIn.Add(uint64(len(p)))
	if c.frames == nil {
		c.frames = c.getFrameReader()
	}
	read, err := c.frames.feed(p, (*connFrames)(c))
	if err != nil && err != errEnded {
		c.fail(err) // before the peer's close frame is found behind what has failed
		c.discard(p[read:])
	} else if c.frames.atRest() {
		putFrameReader(c.frames)
		c.frames = nil
	}
	c.m.flushBatcher()
	c.lastRead.Store(c.m.wheel.coarse()) // while a callback ran, nothing could be read
	return err
}

// connFrames is a Conn in its role as the handler of its frames.
type connFrames Conn

func (f *connFrames) onData(t MessageType, payload []byte, more bool) error {
	c := (*Conn)(f)
	if wanted, err := c.arrived(); !wanted {
		return err
	}
	return c.handle(t, payload, more)
}

// onCompressed inflates a message when all of it is there: so a slow peer holds no
// inflater, and no more memory than its bytes take. Nobody's time is spent on one that
// is not wanted.
func (f *connFrames) onCompressed(t MessageType, payload []byte, more bool) error {
	c := (*Conn)(f)
	if wanted, err := c.arrived(); !wanted {
		return err
	}
	buf := getFrame()
	defer putFrame(buf)
	plain, err := inflate(*buf, payload, t, c.m.opts.MaxMessageSize)
	*buf = plain
	if err != nil {
		return err
	}
	c.m.stats.inflated.Add(1)
	return c.handle(t, plain[:len(plain):len(plain)], more)
}

// arrived counts a message and reports whether it is to be handled; if not, the error
// says why the connection ends, nil if it is closing already.
func (c *Conn) arrived() (wanted bool, err error) {
	c.traffic().messagesIn.Add(1)
	if c.isClosing() {
		return false, nil
	}
	err = c.checkMessageRate()
	return err == nil, err
}

// handle tells the application of a message.
func (c *Conn) handle(t MessageType, payload []byte, more bool) error {
	if c.m.callbacks.OnMessage == nil {
		return nil
	}
	if more && c.m.batcher.wanted.Load() {
		epoch := c.m.batcher.enter()
		defer c.m.batcher.leave(epoch)
	}
	return c.endBy(c.callMessage(Message{Type: t, Payload: payload}))
}

func (f *connFrames) onPing(payload []byte) error {
	c := (*Conn)(f)
	if err := c.checkControlRate(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendControlLocked(ws.OpPong, payload)
	return nil
}

// onPong has nothing to do, as the arrival is all that a pong says. Those that
// answer our pings are none of the peer's doing and don't count against it.
func (f *connFrames) onPong([]byte) error {
	c := (*Conn)(f)
	if c.unanswered.Load() > 0 {
		c.unanswered.Add(-1)
		return nil
	}
	return c.checkControlRate()
}

func (f *connFrames) onCloseFrame(code StatusCode, reason string) error {
	c := (*Conn)(f)
	c.peerClosed(code, reason)
	return errEnded
}

// discard looks through what comes when the connection has ended for the
// application, for the close frame that answers ours.
func (c *Conn) discard(p []byte) {
	if c.frames == nil {
		c.frames = c.getFrameReader()
	}
	if !c.frames.broken {
		_, _ = c.frames.feed(p, (*lastFrames)(c)) // an error says that nothing can be found any more
	}
}

// lastFrames is a Conn in its role as the handler of what is thrown away.
type lastFrames Conn

func (f *lastFrames) onData(MessageType, []byte, bool) error       { return nil }
func (f *lastFrames) onCompressed(MessageType, []byte, bool) error { return nil }
func (f *lastFrames) onPing([]byte) error                          { return nil }
func (f *lastFrames) onPong([]byte) error                          { return nil }

func (f *lastFrames) onCloseFrame(code StatusCode, reason string) error {
	(*Conn)(f).peerClosed(code, reason)
	return nil
}

// callMessage calls OnMessage, without a closure.
func (c *Conn) callMessage(m Message) (err error) {
	c.calling.Store(true)
	defer func() {
		c.calling.Store(false)
		if v := recover(); v != nil {
			err = c.recovered(v)
		}
	}()
	return callbackFailed(c.m.callbacks.OnMessage(c, m))
}

// call calls a callback that may panic.
func (c *Conn) call(f func() error) (err error) {
	c.calling.Store(true)
	defer func() {
		c.calling.Store(false)
		if v := recover(); v != nil {
			err = c.recovered(v)
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
// OnClose. err is why the reader stopped; what had begun to end the connection
// before that counts more. The transport may live on for as long as the close
// handshake takes.
func (c *Conn) finish(err error) {
	c.mu.Lock()
	var ce *CloseError
	switch {
	case errors.Is(err, errEnded), errors.Is(err, errInterrupted) && c.state != stateOpen:
	case errors.As(err, &ce):
		c.failLocked(ce)
	default:
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // for the one who reads the log: no close frame came
		}
		c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err})
	}
	cause := c.rare.cause
	c.mu.Unlock()

	c.m.linger(c, true)
	c.unregister()
	c.m.stats.close(cause.Code)
	c.mu.Lock()
	c.endLocked()
	c.mu.Unlock()
	c.logEnd(cause)
	if f := c.m.callbacks.OnClose; f != nil {
		failed := c.call(func() error { f(c, cause.callbackError()); return nil })
		if failed != nil {
			c.logClosePanic(failed)
		}
	}
}

// fail fails the connection, if the error says how; finish does the rest.
func (c *Conn) fail(err error) {
	var ce *CloseError
	if !errors.As(err, &ce) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
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
	c.m.wheel.remove(c)
	c.m.linger(c, false)
}

// linger remembers the connections that Shutdown would not find in the registry.
func (m *Manager) linger(c *Conn, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if on {
		m.lingering[c] = struct{}{}
	} else {
		delete(m.lingering, c)
	}
}

package wsmanager

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/ratelimit"
)

// receiver is the receiving half of a connection: the frame reader, the limits of the peer's
// rates, and the dispatcher that calls the callbacks. It belongs to the goroutine that reads
// the connection, except lastRead and dispatch.
type receiver struct {
	frames *frame.Reader     // nil between messages
	limits *ratelimit.Limits // nil until there is a rate to limit

	lastRead atomic.Uint32 // tick32 at which bytes last arrived, or reading was resumed
	dispatch dispatcher
}

// receiveHost is the connection as its receiver sees it.
type receiveHost interface {
	// frameConfig returns the configuration of a new frame reader.
	frameConfig() frame.Config

	// framesAfterEnd returns the frame handler for the time after the end.
	framesAfterEnd() frame.Handler

	// receiveFailed fails the connection because of received bytes, or of a callback.
	receiveFailed(err *CloseError)
}

// feed passes received bytes to the frame reader. After an error it looks for the peer's
// close frame in the rest of them.
func (r *receiver) feed(h receiveHost, frames frame.Handler, p []byte) error {
	if r.frames == nil {
		r.frames = frame.GetReader(h.frameConfig())
	}
	read, err := r.frames.Feed(p, frames)
	switch {
	case err == nil || err == errEnded:
		if r.frames.Idle() {
			frame.PutReader(r.frames)
			r.frames = nil
		}
	case err == frame.ErrTaken: // frames belongs to another goroutine
	default:
		err = closeErrorOf(err)
		var ce *CloseError
		if errors.As(err, &ce) {
			h.receiveFailed(ce) // before the peer's close frame, which the rest may contain
		}
		r.discard(h, p[read:])
	}
	return err
}

// discard passes bytes to the frame reader that arrive when the connection has ended for the
// application: they may contain the peer's close frame.
func (r *receiver) discard(h receiveHost, p []byte) {
	if r.frames == nil {
		r.frames = frame.GetReader(h.frameConfig())
	}
	if !r.frames.Failed() {
		_, _ = r.frames.Feed(p, h.framesAfterEnd()) // after an error no close frame can be found
	}
}

// takeUnread returns a copy of the bytes that the frame reader has not handled, because the
// message of the running callback is in the same buffer. The frame reader forgets them.
func (r *receiver) takeUnread() (rest []byte) {
	if r.frames != nil {
		rest = append(rest, r.frames.Unread()...)
		r.frames.SetUnread(nil)
	}
	return rest
}

// touch notes that the peer was heard at a tick.
func (r *receiver) touch(now int64) { r.lastRead.Store(uint32(now)) }

// heardAt returns the tick at which the peer was last heard.
func (r *receiver) heardAt(now int64) int64 { return tick32(r.lastRead.Load()).near(now) }

// errEnded is returned by the frame handler when the peer's close frame has been handled.
var errEnded = errors.New("wsmanager: the connection has ended")

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

// openFrames is the frame.Handler of an open connection.
type openFrames Conn

// OnData implements frame.Handler.
func (f *openFrames) OnData(op ws.OpCode, payload []byte, more bool) error {
	t := MessageType(op)
	if wanted, err := f.accept(received{t, false, payload}); !wanted {
		return err
	}
	return f.handle(t, payload, more)
}

// OnCompressed implements frame.Handler. It inflates a message once it has arrived
// completely, so that a slow peer holds no inflater and no more memory than its bytes.
// Messages that will be dropped are not inflated.
func (f *openFrames) OnCompressed(op ws.OpCode, payload []byte, more bool) error {
	t := MessageType(op)
	if wanted, err := f.accept(received{t, true, payload}); !wanted {
		return err
	}
	buf := getFrame()
	defer putFrame(buf)
	plain, err := f.m.inflate(buf, t, payload)
	if err != nil {
		return err
	}
	return f.handle(t, plain, more)
}

// inflate inflates a message into the buffer. Its error is a *CloseError.
func (m *Manager) inflate(buf *[]byte, t MessageType, payload []byte) ([]byte, error) {
	plain, err := deflate.Inflate(*buf, payload, t == TextMessage, m.opts.MaxMessageSize)
	*buf = plain
	if err != nil {
		return nil, closeErrorOf(err)
	}
	m.counters.Compression.Inflated.Add(1)
	return plain[:len(plain):len(plain)], nil
}

// accept counts a message and reports whether to handle it now. If not, the error is the
// reason for which the connection ends, or nil if it is closing or the message was queued.
func (f *openFrames) accept(m received) (wanted bool, err error) {
	f.out.traffic().MessagesIn.Add(1)
	if f.reception.isClosing() {
		return false, nil
	}
	if err := f.in.checkMessageRate(f.m.wheel.Clock()); err != nil {
		return false, err
	}
	if f.in.dispatch.taken() && f.m.callbacks.OnMessage != nil && f.in.dispatch.enqueue((*callbackHost)(f), m) {
		return false, nil
	}
	return true, nil
}

// handle passes a message to OnMessage.
func (f *openFrames) handle(t MessageType, payload []byte, more bool) error {
	if f.m.callbacks.OnMessage == nil {
		return nil
	}
	if more && f.m.broadcaster.batcher.wanted.Load() {
		epoch := f.m.broadcaster.batcher.enter()
		defer f.m.broadcaster.batcher.leave(epoch)
	}
	err := f.in.dispatch.callMessage((*callbackHost)(f), Message{Type: t, Payload: payload})
	if err == nil {
		return nil
	}
	return (*callbackHost)(f).endAsAsked(err)
}

// OnPing implements frame.Handler. It answers with a pong.
func (f *openFrames) OnPing(payload []byte) error {
	if err := f.in.checkControlRate(f.m.wheel.Elapsed(), f.m.opts.ControlRate); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.sendControl((*session)(f), ws.OpPong, payload)
	return nil
}

// OnPong implements frame.Handler. Pongs that answer our pings do not count against
// Options.ControlRate.
func (f *openFrames) OnPong([]byte) error {
	if f.out.pongReceived() {
		return nil
	}
	return f.in.checkControlRate(f.m.wheel.Elapsed(), f.m.opts.ControlRate)
}

// OnClose implements frame.Handler.
func (f *openFrames) OnClose(code ws.StatusCode, reason string) error {
	(*session)(f).peerClosed(StatusCode(code), reason)
	return errEnded
}

// endedFrames is the frame.Handler of a connection that has ended for the application. It
// drops all frames except close frames.
type endedFrames Conn

func (f *endedFrames) OnData(ws.OpCode, []byte, bool) error       { return nil }
func (f *endedFrames) OnCompressed(ws.OpCode, []byte, bool) error { return nil }
func (f *endedFrames) OnPing([]byte) error                        { return nil }
func (f *endedFrames) OnPong([]byte) error                        { return nil }

func (f *endedFrames) OnClose(code ws.StatusCode, reason string) error {
	(*session)(f).peerClosed(StatusCode(code), reason)
	return nil
}

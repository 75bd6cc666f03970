package wsmanager

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/ratelimit"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// receiver is the receiving half of a connection: the frame reader, the limits of the peer's
// rates, and the dispatcher that calls the callbacks. It belongs to the goroutine that reads
// the connection, except lastRead and dispatch.
type receiver struct {
	frames *frame.Reader     // nil between messages
	limits *ratelimit.Limits // nil until there is a rate to limit

	lastRead atomic.Uint32 // timewheel.Tick32 at which bytes last arrived, or reading was resumed
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
		r.frames.Skip()
		_, _ = r.frames.Feed(p, h.framesAfterEnd()) // after an error no close frame can be found
	}
}

// space returns memory for the next bytes if they belong into a message that is being
// received; otherwise nil.
func (r *receiver) space() []byte {
	if r.frames == nil {
		return nil
	}
	return r.frames.Space()
}

// takeUnread returns a copy of the bytes that the frame reader has not handled, because the
// message of the running callback is in the same buffer. It is nil if the frame reader has
// nothing to do before further bytes arrive.
func (r *receiver) takeUnread() []byte {
	if r.frames == nil {
		return nil
	}
	return r.frames.TakeUnread()
}

// touch notes that the peer was heard at a tick.
func (r *receiver) touch(now int64) { r.lastRead.Store(uint32(now)) }

// heardAt returns the tick at which the peer was last heard.
func (r *receiver) heardAt(now int64) int64 { return timewheel.Tick32(r.lastRead.Load()).Near(now) }

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

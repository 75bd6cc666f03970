package wsmanager

import (
	"context"
	"errors"
	"io"

	"github.com/speakingtube/speakingtube/wsmanager/internal/pings"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// lifecycle is the state machine of a connection, from the handshake to the end. Sender,
// receiver and timers report to it. Its methods need the connection's lock. Files:
// close_handshake.go has the way from open to cut, keepalive.go the timers.
type lifecycle struct {
	cold    *coldState // nil until the connection closes, or one of the fields is needed
	pingDue timewheel.Tick32

	state connState
	mode  closeMode
	ended bool // for the application: OnClose is due, or was called
	left  bool // the connection has left the registry and all groups
}

// coldState is the state that most connections do not need before their end.
type coldState struct {
	ctx    context.Context // nil until requested
	cancel context.CancelCauseFunc

	cause          *CloseError // of the close; set on the first change of state
	secondaryErr   error       // error that occurred after closing began
	stack          []byte      // of a callback that panicked
	closeFrameSent bool        // ours
	due            int64       // tick at which a closing connection is cut
	expires        wallTime    // when the connection is closed; 0 if it does not expire
	pings          *pings.List // nil until the first Ping or Latency

	handover handover
}

// lifecycleHost is the connection as its state machine sees it. The lock is held in calls of
// its methods, except Lock.
type lifecycleHost interface {
	sender.Host

	sender() *sender.Sender
	receiver() *receiver
	options() *settings
	ticker() *timewheel.Ticker

	// readyDue returns the tick until which a connection with Accept.Deferred must become
	// ready; false if it is ready.
	readyDue() (at int64, waits bool)

	// leaveBroadcasts ends the reception of broadcasts. Pending ones are sent, or dropped.
	// The send may change the state.
	leaveBroadcasts(send bool)

	// markClosing makes the state visible to goroutines without the lock.
	markClosing()

	// schedule sets the timer of the connection to a tick.
	schedule(at int64)
}

// details returns the cold state, and makes it if there is none.
func (l *lifecycle) details() *coldState {
	if l.cold == nil {
		l.cold = &coldState{}
	}
	return l.cold
}

// handover returns the state of the takeovers, or nil.
func (l *lifecycle) handover() *handover {
	if l.cold == nil {
		return nil
	}
	return &l.cold.handover
}

// context returns the connection's context.
func (l *lifecycle) context(base context.Context) context.Context {
	d := l.details()
	if d.ctx == nil {
		d.ctx, d.cancel = context.WithCancelCause(base)
		if l.ended || l.state == stateCut {
			l.cancelContext()
		}
	}
	return d.ctx
}

func (l *lifecycle) cancelContext() {
	if d := l.cold; d != nil && d.cancel != nil {
		d.cancel(d.cause.callbackError())
	}
}

// attach sets the transport when the handshake has been sent. Frames that were queued until
// now are sent.
func (l *lifecycle) attach(h lifecycleHost, t transport.Transport) {
	s := h.sender()
	s.Attach(t)
	now := h.ticker().Now()
	h.receiver().touch(now)
	l.schedulePing(h, now)
	if l.state == stateCut {
		_ = s.CloseTransport() // Shutdown did not wait for the handshake
		return
	}
	if l.state == stateOpen && l.expired(h.ticker()) {
		l.expire(h, closeFail)
	}
	l.scheduleNext(h)
	l.resendPing(h)
	s.Flush(h)
	if l.mode == closeFail && l.state == stateClosing {
		l.interrupt(h) // the outbox became full before the transport was set
	}
}

// readerStopped ends the connection when its reader has stopped because of err, and returns
// the cause of the end. A cause that was set earlier wins.
func (l *lifecycle) readerStopped(h lifecycleHost, err error) *CloseError {
	var ce *CloseError
	switch {
	case errors.Is(err, errEnded), errors.Is(err, transport.ErrInterrupted) && l.state != stateOpen:
	case errors.As(err, &ce):
		l.fail(h, ce)
	default:
		l.inputEnded()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // in the log: the peer sent no close frame
		}
		l.transportFailed(h, err)
	}
	return l.cold.cause
}

// transportFailed cuts the connection after an error of the transport: the peer is gone, or
// a net.Conn of the application has panicked.
func (l *lifecycle) transportFailed(h lifecycleHost, err error) {
	panicked := transport.AsPanic(err) != nil
	if panicked && l.state != stateOpen {
		l.cold.secondaryErr = err
	}
	l.cut(h, &CloseError{Code: StatusAbnormalClosure, Remote: !panicked, Err: err})
}

// interrupt ends the read in progress, so that OnClose does not wait for the peer.
func (l *lifecycle) interrupt(h lifecycleHost) {
	if err := h.sender().Transport().Interrupt(); err != nil {
		l.transportFailed(h, err)
	}
}

// inputEnded notes, before the state changes, that the peer's direction has ended: queued
// messages arrived while the connection was open.
func (l *lifecycle) inputEnded() {
	if k := l.handover().active(); k != nil && l.state == stateOpen {
		k.keep = true
	}
}

// endForApplication ends the Context.
func (l *lifecycle) endForApplication() {
	l.ended = true
	l.cancelContext()
}

// takeSecondaryErr returns the secondary error for the log, once.
func (l *lifecycle) takeSecondaryErr() error {
	err := l.cold.secondaryErr
	l.cold.secondaryErr = nil
	return err
}

// released notes that the transport was released, which is the end of the connection.
func (l *lifecycle) released() {
	if o := l.handover(); o != nil && o.ended != nil {
		close(o.ended)
	}
}

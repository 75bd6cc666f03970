package wsmanager

import (
	"errors"

	"github.com/gobwas/ws"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// close begins to close the connection, unless it is closing.
func (l *lifecycle) close(h lifecycleHost, cause *CloseError, mode closeMode) {
	if l.state != stateOpen {
		return
	}
	if h.leaveBroadcasts(mode != closeFail); l.state != stateOpen {
		return // a full outbox or a failed write has closed it
	}
	l.state, l.mode = stateClosing, mode
	h.markClosing()
	l.handover().active().releaseReader()
	d := l.details()
	d.cause, d.due = cause, h.ticker().After(h.options().CloseTimeout)
	s := h.sender()
	s.BeginClose()
	d.pings.Fail()
	if mode != closeGraceful {
		s.DropMessages()
	}
	s.SendClose(h, ws.StatusCode(cause.Code), cause.Reason)
	if !s.Attached() {
		return // attach continues when the handshake has been sent
	}
	l.scheduleNext(h)
	if mode == closeFail && l.state != stateCut {
		l.interrupt(h)
	}
}

// closeAfter is close, after the frame of a last message if there is one.
func (l *lifecycle) closeAfter(h lifecycleHost, last []byte, cause *CloseError) {
	s := h.sender()
	if s.Stuck() {
		l.cut(h, cause) // the peer does not read, so it would not read the close frame either
		return
	}
	if len(last) > 0 && l.state == stateOpen {
		h.leaveBroadcasts(true)      // no broadcast is sent between the message and the close frame
		_ = s.SendUnlimited(h, last) // after an error the connection is cut
	}
	l.close(h, cause, closeGraceful)
}

// peerClosed answers the peer's close frame.
func (l *lifecycle) peerClosed(h lifecycleHost, code StatusCode, reason string) {
	l.inputEnded()
	switch l.state {
	case stateOpen:
		l.close(h, &CloseError{Code: code, Reason: reason, Remote: true}, closeReply)
	case stateClosing:
		if l.mode != closeReply {
			// The peer's close frame answers or crossed ours. It will read no more data, so
			// send ours now.
			l.mode = closeReply
			h.sender().DropMessages()
			if l.cold.closeFrameSent {
				l.bothCloseFramesSent(h)
			}
		}
	}
}

// closeFrameSent continues when our close frame has been written.
func (l *lifecycle) closeFrameSent(h lifecycleHost) {
	l.cold.closeFrameSent = true
	if l.state != stateClosing {
		return
	}
	switch l.mode {
	case closeReply:
		l.bothCloseFramesSent(h)
	case closeFail:
		// Another error than a panic means that the connection is gone, which the reader
		// notices, or that only the peer can end it.
		if err := h.sender().Transport().CloseWrite(); transport.AsPanic(err) != nil {
			l.transportFailed(h, err)
		}
	}
}

// bothCloseFramesSent ends our direction (RFC 6455, section 7.1.1). A server does so first.
// It reads and discards the bytes that the peer still sends until the peer has ended its
// direction, because a reset could discard our close frame. A client waits for the server to
// end the connection. Both wait no longer than Timeouts.Close.
func (l *lifecycle) bothCloseFramesSent(h lifecycleHost) {
	s := h.sender()
	if s.IsClient() {
		return
	}
	if err := s.Transport().CloseWrite(); err != nil {
		l.transportFailed(h, err) // the transport has no other way to end our direction
	}
}

// fail fails the connection because of received bytes, or of a callback. It may be called
// more than once for one error.
func (l *lifecycle) fail(h lifecycleHost, ce *CloseError) {
	switch {
	case l.state == stateOpen:
		l.close(h, ce, closeFail)
		return
	case l.cold.cause == ce:
		return
	}
	l.cold.secondaryErr = ce.Err
	if l.state == stateClosing && l.mode == closeGraceful {
		// The peer's close frame, for which we wait, will not be understood.
		l.mode = closeFail
		h.sender().DropMessages()
		if l.cold.closeFrameSent {
			l.closeFrameSent(h)
		}
	}
}

// endAsAsked closes the connection as the error of a callback asks for, gracefully, so that
// messages arrive that the callback sent before it returned. It returns an error with which
// the connection has to fail instead: a panic.
func (l *lifecycle) endAsAsked(h lifecycleHost, err error) error {
	var ce *CloseError
	if errors.Is(err, ErrPanic) || !errors.As(err, &ce) {
		return err
	}
	if l.state != stateOpen {
		l.cold.secondaryErr = ce.Err
	}
	l.close(h, ce, closeGraceful)
	return nil // the reader continues, for the peer's close frame
}

// endTaken ends the connection because of the error of a callback that does not run on the
// reader's goroutine. The reader does the rest.
func (l *lifecycle) endTaken(h lifecycleHost, err error) {
	err = l.endAsAsked(h, err)
	if k := l.handover().active(); k != nil {
		k.keep = false
	}
	var ce *CloseError
	if !errors.As(err, &ce) {
		return
	}
	wasClosing := l.state == stateClosing
	l.fail(h, ce)
	if wasClosing && !l.ended && l.state == stateClosing {
		l.interrupt(h)
	}
}

// cut closes the transport. The cause counts only if the connection was open.
func (l *lifecycle) cut(h lifecycleHost, cause *CloseError) {
	if l.state == stateCut {
		return
	}
	if l.state == stateOpen {
		l.details().cause = cause
		h.leaveBroadcasts(false)
	}
	l.state = stateCut
	h.markClosing()
	l.handover().active().releaseReader()
	l.details().pings.Fail()
	h.sender().Cut()
	l.cancelContext() // a callback may wait for it
	if err := h.sender().CloseTransport(); transport.AsPanic(err) != nil {
		l.cold.secondaryErr = err // after another error the connection is gone as well
	}
}

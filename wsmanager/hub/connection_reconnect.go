package hub

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// run maintains the connection from its first socket to its end.
func (c *Connection) run(s *clientSocket) {
	for {
		err, again := c.runKeepAlive(s)
		if next := c.tryResume(s, err); next != nil {
			s = next
			continue
		}
		c.failCalls(err)
		again = again && !c.isClosing() // Close may have been called during tryResume
		if again {
			s, err = c.reconnect(err)
		}
		if !again || s == nil {
			c.finish(err)
			return
		}
	}
}

// runKeepAlive runs until the socket has ended. It returns the reason, and whether the client may reconnect.
func (c *Connection) runKeepAlive(s *clientSocket) (err error, again bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.done:
			return c.outcome(s)
		case <-timer.C:
		}
		next, timedOut := s.session.checkTimers()
		if timedOut && !c.isClosing() {
			c.mu.Lock()
			s.cause = ErrServerTimeout
			c.mu.Unlock()
			c.abandon(s, s.ws)
			return c.outcome(s)
		}
		timer.Reset(next)
	}
}

// outcome returns why a socket has ended, and whether the client may reconnect.
func (c *Connection) outcome(s *clientSocket) (err error, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var broken *protocolError
	switch {
	case c.closing:
		return nil, false
	case s.closeMessage != nil && s.closeMessage.Error != "":
		return &ClosedError{s.closeMessage.Error}, s.closeMessage.AllowReconnect
	case s.closeMessage != nil:
		return nil, s.closeMessage.AllowReconnect
	case errors.As(s.cause, &broken):
		return s.cause, false // the server would repeat the mistake
	case s.cause != nil:
		return s.cause, true
	case s.ended == nil:
		return errors.New("hub: the server closed the socket"), true
	}
	return s.ended, true
}

// tryResume resumes a connection that broke. It returns nil if that is not possible.
func (c *Connection) tryResume(s *clientSocket, err error) *clientSocket {
	replay := s.session.replay
	var ce *wsmanager.CloseError
	c.mu.Lock()
	resumable := replay != nil && !c.closing && s.closeMessage == nil &&
		(errors.Is(s.cause, ErrServerTimeout) || s.cause == nil && errors.As(err, &ce) && ce.Code == wsmanager.StatusAbnormalClosure)
	c.mu.Unlock()
	if !resumable {
		return nil
	}
	replay.suspend()
	next, err := c.resume(s)
	if err != nil {
		c.logger().Debug("hub connection could not be resumed", logged(err))
		return nil
	}
	return next
}

func (c *Connection) resume(s *clientSocket) (*clientSocket, error) {
	e, err := c.negotiator.renew(c.stopped, s.endpoint)
	if err != nil {
		return nil, err
	}
	return c.dial(c.stopped, &clientSocket{c: c, session: s.session, endpoint: e, resuming: true})
}

// failCalls fails all pending calls after the connection has broken.
func (c *Connection) failCalls(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.replay != nil {
		c.session.replay.stop()
	}
	failure := ErrClosed
	if !c.closing {
		failure = withPrefix(ErrDisconnected, err)
	}
	for id, k := range c.calls {
		delete(c.calls, id)
		k.pushLocked(reply{end: true, err: failure})
	}
	c.changed.Broadcast()
}

// reconnect tries to connect until it succeeds, the delays are used up, or the Connection is closed. It returns nil in the
// latter cases.
func (c *Connection) reconnect(err error) (*clientSocket, error) {
	if c.opts.RetryDelay == nil && len(c.opts.ReconnectDelays) == 0 {
		return nil, err
	}
	if f := c.opts.OnReconnecting; f != nil {
		f(err)
	}
	begin := time.Now()
	lastErr := err
	for attempt := 1; ; attempt++ {
		delay, ok := c.opts.retryDelay(Retry{Attempt: attempt, Elapsed: time.Since(begin), Err: lastErr})
		if !ok {
			return nil, err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-c.stopped.Done():
			timer.Stop()
			return nil, nil
		}
		s, connectErr := c.connect(c.stopped)
		switch {
		case connectErr == nil:
			if f := c.opts.OnReconnected; f != nil {
				f(s.endpoint.id)
			}
			return s, nil
		case c.isClosing():
			return nil, nil
		}
		c.logger().LogAttrs(c.ctx, slog.LevelDebug, "hub connection could not reconnect", slog.Int("attempt", attempt), logged(connectErr))
		lastErr = connectErr
	}
}

// finish ends the Connection.
func (c *Connection) finish(err error) {
	c.unbind()
	c.mu.Lock()
	if c.closing {
		err = nil
	}
	c.closing, c.err = true, err
	c.handlers.queue = nil
	c.changed.Broadcast()
	c.mu.Unlock()
	if err == nil {
		err = ErrClosed
	}
	c.cancel(err)
	_ = c.running.wait(context.Background()) // does not fail: the context has no end
	if f := c.opts.OnClosed; f != nil {
		f(c.Err())
	}
	close(c.done)
}

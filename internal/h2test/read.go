package h2test

import (
	"errors"
	"fmt"

	"golang.org/x/net/http2"
)

// read runs on the reading goroutine. It never waits for the writing one: its answers are
// queued.
func (c *Conn) read() {
	defer close(c.reader)
	for first := true; ; first = false {
		f, err := c.fr.ReadFrame()
		c.mu.Lock()
		var bad http2.StreamError
		switch {
		case errors.As(err, &bad): // of an invalid header
			if s := c.streams[bad.StreamID]; s != nil {
				s.resetLocked(bad.Code, bad)
			}
			err = nil
		case err != nil:
			err = fmt.Errorf("h2test: reading: %w", err)
		case first && !begins(f):
			err = connError(http2.ErrCodeProtocol, "the first frame is not SETTINGS but %v", f)
		default:
			err = c.frameLocked(f)
		}
		if err != nil {
			if code, ok := codeOf(err); ok {
				_ = c.fr.WriteGoAway(0, code, nil)
			}
			c.failLocked(err)
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// connectionError ends the connection with a GOAWAY.
type connectionError struct {
	http2.ErrCode
	text string
}

func (e connectionError) Error() string { return fmt.Sprintf("h2test: %s (%v)", e.text, e.ErrCode) }

func connError(code http2.ErrCode, format string, args ...any) error {
	return connectionError{code, fmt.Sprintf(format, args...)}
}

// codeOf returns the code for a GOAWAY. A connection that has been lost has none.
func codeOf(err error) (http2.ErrCode, bool) {
	var ours connectionError
	var framers http2.ConnectionError
	switch {
	case errors.As(err, &ours):
		return ours.ErrCode, true
	case errors.As(err, &framers):
		return http2.ErrCode(framers), true
	case errors.Is(err, http2.ErrFrameTooLarge):
		return http2.ErrCodeFrameSize, true
	}
	return 0, false
}

func begins(f http2.Frame) bool {
	s, ok := f.(*http2.SettingsFrame)
	return ok && !s.IsAck()
}

// frameLocked handles a frame. An error ends the connection.
func (c *Conn) frameLocked(f http2.Frame) error {
	id := f.Header().StreamID
	s := c.streams[id] // nil for the connection's frames, and for a stream that has ended
	if id > c.last || id%2 == 0 && id != 0 {
		return connError(http2.ErrCodeProtocol, "a frame of a stream that is not open: %v", f)
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return c.settingsLocked(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = c.fr.WritePing(true, f.Data)
			c.queued.Signal()
		}
	case *http2.WindowUpdateFrame:
		return c.windowLocked(id, s, int64(f.Increment))
	case *http2.GoAwayFrame:
		c.lastKept = f.LastStreamID
		for id, s := range c.streams {
			if id > f.LastStreamID {
				s.failLocked(errGoneAway)
			}
		}
	case *http2.RSTStreamFrame:
		if s != nil {
			s.failLocked(http2.StreamError{StreamID: id, Code: f.ErrCode, Cause: errPeer})
		}
	case *http2.DataFrame:
		return c.dataLocked(f, s)
	case *http2.MetaHeadersFrame:
		if s == nil {
			return nil
		}
		if err := s.headLocked(f); err != nil {
			s.resetLocked(http2.ErrCodeProtocol, err)
			return nil
		}
		if f.StreamEnded() {
			s.receiveEndLocked()
		}
	case *http2.PushPromiseFrame:
		return connError(http2.ErrCodeProtocol, "a push, which the settings forbid")
	}
	return nil
}

var errPeer = errors.New("h2test: reset by the server")

func (c *Conn) settingsLocked(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	before := c.initialLocked()
	err := f.ForeachSetting(func(s http2.Setting) error {
		c.settings[s.ID] = s.Val
		return s.Valid()
	})
	if err != nil {
		return err
	}
	for _, s := range c.streams {
		s.send += c.initialLocked() - before // RFC 9113, 6.9.2
		s.changed.Broadcast()
	}
	if size, ok := c.settings[http2.SettingHeaderTableSize]; ok {
		c.enc.SetMaxDynamicTableSizeLimit(size)
	}
	_ = c.fr.WriteSettingsAck()
	c.queued.Signal()
	c.hasSettings = true
	c.settled.Broadcast()
	return nil
}

func (c *Conn) windowLocked(id uint32, s *Stream, more int64) error {
	const most = 1<<31 - 1
	if s != nil {
		if s.send += more; s.send > most {
			s.resetLocked(http2.ErrCodeFlowControl, connError(http2.ErrCodeFlowControl, "a stream's window above %d", most))
		}
		s.changed.Broadcast()
	}
	if id == 0 {
		if c.send += more; c.send > most {
			return connError(http2.ErrCodeFlowControl, "a window above %d", most)
		}
		for _, s := range c.streams {
			s.changed.Broadcast()
		}
	}
	return nil
}

func (c *Conn) dataLocked(f *http2.DataFrame, s *Stream) error {
	size := int64(f.Length) // with padding
	if c.receive -= size; c.receive < 0 {
		return connError(http2.ErrCodeFlowControl, "data beyond the connection's window")
	}
	if c.receive <= connWindow/2 {
		_ = c.fr.WriteWindowUpdate(0, uint32(connWindow-c.receive))
		c.queued.Signal()
		c.receive = connWindow
	}
	if s == nil {
		return nil // the stream may have been reset by this side
	}
	if s.receive -= size; s.receive < 0 {
		return connError(http2.ErrCodeFlowControl, "data beyond a stream's window")
	}
	switch {
	case s.endReceived:
		s.resetLocked(http2.ErrCodeStreamClosed, errors.New("h2test: data after END_STREAM"))
		return nil
	case s.response == nil:
		s.resetLocked(http2.ErrCodeProtocol, errors.New("h2test: data before the response"))
		return nil
	}
	s.buf.Write(f.Data())
	s.unacknowledged += size - int64(len(f.Data()))
	s.changed.Broadcast()
	if f.StreamEnded() {
		s.receiveEndLocked()
	}
	return nil
}

// receiveEndLocked records END_STREAM.
func (s *Stream) receiveEndLocked() {
	s.endReceived = true
	s.changed.Broadcast()
	s.forgetLocked()
}

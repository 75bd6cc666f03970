package wsmanager

import (
	"fmt"
	"runtime/debug"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// session is a Conn as its driver, its Manager and its parts see it. Its methods take the
// connection's lock and pass the events of the driver to the parts. It is also the host through
// which a part calls the rest of the connection. It contains no policy.
type session Conn

var (
	_ lifecycleHost = (*session)(nil)
	_ receiveHost   = (*session)(nil)
)

// session returns the connection's internal side.
func (c *Conn) session() *session { return (*session)(c) }

func (s *session) conn() *Conn { return (*Conn)(s) }

// Lock implements sync.Locker.
func (s *session) Lock() { s.mu.Lock() }

// Unlock implements sync.Locker.
func (s *session) Unlock() { s.mu.Unlock() }

// WheelEntry implements timewheel.Element.
func (s *session) WheelEntry() *timewheel.Entry[*session] { return &s.entry }

// Due implements timewheel.Element.
func (s *session) Due(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.due(s, now)
}

// Methods that tell the parts about the connection: sender to framesAfterEnd.

func (s *session) sender() *sender.Sender    { return &s.out }
func (s *session) receiver() *receiver       { return &s.in }
func (s *session) options() *settings        { return &s.m.opts }
func (s *session) ticker() *timewheel.Ticker { return &s.m.wheel.Ticker }

func (s *session) readyDue() (at int64, waits bool) {
	w := &s.m.wheel
	return w.TickOf(s.since) + w.Ticks(s.m.opts.ReadyTimeout), !s.reception.IsReady()
}

// frameConfig implements receiveHost.
func (s *session) frameConfig() frame.Config {
	cfg := frame.Config{Masked: s.m.keys == nil, Limit: s.m.opts.MaxMessageSize}
	cfg.Pieces, cfg.Inflater = s.m.callbacks.OnPiece != nil, deflate.NewStream
	if s.who.deflate {
		cfg.CompressedLimit = deflate.MaxCompressed(cfg.Limit)
	}
	return cfg
}

// framesAfterEnd implements receiveHost.
func (s *session) framesAfterEnd() frame.Handler { return (*endedFrames)(s) }

// Methods that take the reports of the parts: schedule to receiveFailed.

func (s *session) schedule(at int64)         { s.m.wheel.Schedule(s, at) }
func (s *session) leaveBroadcasts(send bool) { s.m.broadcaster.EndReception((*broadcastConn)(s), send) }
func (s *session) markClosing()              { s.reception.MarkClosing() }
func (s *session) WriterStarted()            { s.life.scheduleNext(s) }
func (s *session) CloseFrameSent()           { s.life.closeFrameSent(s) }

func (s *session) WriteFailed(err error) { s.life.transportFailed(s, err) }

func (s *session) ConsumerTooSlow() {
	s.life.close(s, &CloseError{Code: StatusTryAgainLater, Err: ErrSlowConsumer}, closeFail)
}

// receiveFailed implements receiveHost.
func (s *session) receiveFailed(err *CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.inputEnded()
	s.life.fail(s, err)
}

// attach sets the transport when the handshake has been sent.
func (s *session) attach(t transport.Transport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.attach(s, t)
}

// open calls OnConnect, and handles the bytes that arrived with the handshake.
func (s *session) open(early []byte) error {
	logStart(s.conn())
	if len(early) > 0 {
		s.out.Traffic().BytesIn.Add(uint64(len(early)))
		s.in.frames = frame.GetReader(s.frameConfig())
		s.in.frames.SetUnread(early) // for a goroutine that takes over while OnConnect runs
	}
	if f := s.m.callbacks.OnConnect; f != nil {
		h := (*callbackHost)(s)
		if err := s.in.dispatch.call(h, func() error { return callbackFailed(f(s.conn()), s.m.opts.InvalidUTF8) }); err != nil {
			if err = h.endAsAsked(err); err != nil {
				return err
			}
		}
	}
	if len(early) == 0 {
		return nil
	}
	s.in.frames.SetUnread(nil)
	return s.feed(early)
}

// consume counts and handles bytes from the peer.
func (s *session) consume(p []byte) error {
	s.in.touch(s.m.wheel.Coarse())
	s.out.Traffic().BytesIn.Add(uint64(len(p)))
	return s.feed(p)
}

// feed is consume for bytes that have been counted.
func (s *session) feed(p []byte) error {
	err := s.in.feed(s, (*openFrames)(s), p)
	if err == frame.ErrTaken {
		return err
	}
	s.m.broadcaster.FlushDeferred()
	s.in.touch(s.m.wheel.Coarse()) // the connection was not read while a callback ran
	return err
}

func (s *session) peerClosed(code StatusCode, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.peerClosed(s, code, reason)
}

// send writes the frame of a message, or queues it. A queued frame is copied unless it is
// shared. A client masks a copy of a shared frame.
func (s *session) send(plain []byte, shared bool) error {
	if shared && s.m.keys != nil {
		buf := frame.GetBuffer()
		defer frame.PutBuffer(buf)
		*buf = s.m.keys.Mask(append(*buf, plain...), 0)
		plain, shared = *buf, false
	}
	s.mu.Lock()
	s.catchUp()
	err := s.out.Send(s, plain, shared)
	crowded := s.out.Crowded()
	s.mu.Unlock()
	if crowded {
		sender.YieldToWriter()
	}
	return err
}

// catchUp sends the broadcasts that are pending for the connection, so that the next message
// does not overtake them. The caller holds the lock.
func (s *session) catchUp() {
	s.m.broadcaster.CatchUp((*broadcastConn)(s), &s.reception)
}

// closeAfter sends last, the frame of a message or nil, and begins to close the connection.
func (s *session) closeAfter(last []byte, cause *CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.closeAfter(s, last, cause)
}

// close begins to close the connection, unless it is closing.
func (s *session) close(cause *CloseError, mode closeMode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.close(s, cause, mode)
}

// cut closes the transport.
func (s *session) cut(cause *CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.cut(s, cause)
}

// panicked records the panic of a callback, and returns the error that ends the connection.
func (s *session) panicked(v any) error { return s.panickedAt(v, debug.Stack()) }

func (s *session) panickedAt(v any, stack []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.details().stack = stack
	return &CloseError{Code: StatusInternalError, Err: fmt.Errorf("%w: %v", ErrPanic, v)}
}

// finish ends the connection for the application. It removes the connection from the registry.
// When the callbacks that run have returned, it logs the end and calls OnClose. err is the
// reason for which the reader stopped. The transport may stay open for the close handshake.
func (s *session) finish(err error) {
	s.mu.Lock()
	cause := s.life.readerStopped(s, err)
	s.mu.Unlock()

	s.m.admission.SetClosing(s.conn(), true)
	s.m.unregister(s.conn())
	s.m.counters.Close(uint16(cause.Code))
	if cause.Err == ErrExpired {
		s.m.counters.Expired.Add(1)
	}
	s.mu.Lock()
	s.life.endForApplication()
	s.mu.Unlock()
	h := (*callbackHost)(s)
	s.in.dispatch.afterCallbacks(h, func() {
		logEnd(s.conn(), cause)
		if f := s.m.callbacks.OnClose; f != nil {
			s.in.dispatch.callClose(h, func() { f(s.conn(), cause.callbackError()) })
		}
	})
}

// drained cuts the connection, which has ended for the application, when nothing more can be
// read because of err. If it was cut before, err is a consequence of that.
func (s *session) drained(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.state != stateCut {
		s.life.transportFailed(s, err)
	}
}

// release closes the transport and stops the timer.
func (s *session) release() {
	s.cut(nil)
	s.m.wheel.Remove(s)
}

// released is called after release. When the last callback has returned, it gives back the
// connection's slot of admission.
func (s *session) released() {
	s.in.dispatch.afterCallbacks((*callbackHost)(s), func() {
		s.mu.Lock()
		err := s.life.takeSecondaryErr()
		s.mu.Unlock()
		if transport.AsPanic(err) != nil {
			logClosingPanic(s.conn(), err) // before Shutdown may return
		}
		s.m.admission.SetClosing(s.conn(), false)
		s.m.admission.Release()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.life.released()
	})
}

package wsmanager

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// sender is the sending half of a connection: the transport, and the outbox with the frames
// that the transport has not taken yet. It reports failures and progress to its sendHost and
// decides nothing about the connection. Its methods need the connection's lock, except those
// that are marked as safe without it.
type sender struct {
	cfg       *sendConfig
	transport transport.Transport // static once attached; a *handshaking before
	outbox    *outbox.Queue       // nil while it is empty

	unanswered atomic.Int32 // pings without a pong; safe without the lock

	state    connState // copy of lifecycle.state, which sets it
	attached bool      // the handshake has been sent, and transport is set
	policy   SlowConsumer
	stripe   uint8 // of the counters
}

// sendConfig is the part of the senders of one Manager that they share.
type sendConfig struct {
	maxMessages int // Options.Outbox.Messages
	maxBytes    int // Options.Outbox.Bytes

	// stuckAfter is the time without progress after which a write counts as stuck. It is
	// stuckAfter except in tests.
	stuckAfter time.Duration

	keys   *frame.MaskKeys    // nil on the server's side
	onSent func(frame []byte) // see outbox.New; may be nil

	ticker   *timewheel.Ticker
	counters *counters.Counters
	active   *activity.Counter // counts writer goroutines
}

// sendHost is the connection as its sender sees it. The Locker is the connection's lock. It
// is held in calls of the other methods.
type sendHost interface {
	sync.Locker

	// writerStarted is called when the write time-out begins to count.
	writerStarted()

	// writeFailed cuts the connection: the peer is gone.
	writeFailed(err error)

	// consumerTooSlow fails the connection: the outbox is full.
	consumerTooSlow()

	// closeFrameSent is called when the close frame has been written.
	closeFrameSent()
}

// handshaking is the transport until attach. It knows the peer's address only; its other
// methods panic.
type handshaking struct {
	transport.Transport
	remote textAddr
}

func (h *handshaking) RemoteAddr() net.Addr { return h.remote }

// textAddr is an address of which only the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

// traffic returns the counters of the connection's stripe. It is safe without the lock.
func (s *sender) traffic() *counters.Traffic { return s.cfg.counters.Stripe(s.stripe) }

// send writes the frame of a message, or queues it. A frame that is not shared is copied if
// it has to wait.
func (s *sender) send(h sendHost, frame []byte, shared bool) error {
	sent, err := s.write(h, frame, shared)
	if sent || err != nil {
		return err
	}
	return s.enqueue(h, frame, shared)
}

// write writes a frame if no other frame has to be written before it. A frame of which the
// transport takes only a part counts as sent: the rest is queued.
func (s *sender) write(h sendHost, frame []byte, shared bool) (sent bool, err error) {
	if s.state != stateOpen {
		return false, ErrClosed
	}
	if !s.mayWrite() {
		return false, nil
	}
	n, err := s.tryWrite(h, frame)
	switch {
	case err != nil:
		return false, ErrClosed
	case n == len(frame):
		s.traffic().MessagesOut.Add(1)
	case n > 0:
		s.push(h, frame, n, shared)
	}
	return n > 0, nil
}

// mayWrite reports whether no frame has to be written before a new one.
func (s *sender) mayWrite() bool {
	return s.attached && (s.outbox == nil || !s.outbox.Writing() && !s.outbox.Pending())
}

// tryWrite writes as much of p as possible without blocking, which is nothing if the
// transport is not a TryWriter. An error has cut the connection.
func (s *sender) tryWrite(h sendHost, p []byte) (n int, err error) {
	t, ok := s.transport.(transport.TryWriter)
	if !ok {
		return 0, nil
	}
	n, err = t.TryWrite(p)
	if n > 0 {
		s.traffic().BytesOut.Add(uint64(n))
	}
	if err != nil {
		h.writeFailed(err)
	}
	return n, err
}

// push queues a frame of which the first sent bytes have been written. It applies no limits. A
// frame that is not shared is in a buffer of getFrame, and is copied unless putFrame leaves the
// buffer to the outbox.
func (s *sender) push(h sendHost, frame []byte, sent int, shared bool) {
	if !shared && cap(frame) <= maxPooledFrame {
		frame = append([]byte(nil), frame...)
	}
	s.queue().Push(frame, sent)
	s.startWriter(h)
}

// queue returns the outbox, and makes it if there is none.
func (s *sender) queue() *outbox.Queue {
	if s.outbox == nil {
		s.outbox = outbox.New(s.cfg.onSent)
	}
	return s.outbox
}

// sendControl writes a ping or pong. One that cannot be written now replaces the one in the
// outbox, so that a peer cannot make the outbox grow.
func (s *sender) sendControl(h sendHost, op ws.OpCode, payload []byte) {
	if s.state != stateOpen || !s.attached {
		return
	}
	if op == ws.OpPing {
		s.unanswered.Add(1)
	}
	if s.mayWrite() {
		buf := getFrame()
		defer putFrame(buf)
		*buf = s.cfg.keys.Append(*buf, op, payload)
		n, err := s.tryWrite(h, *buf)
		if err != nil || n == len(*buf) {
			return
		}
		if n > 0 {
			s.push(h, *buf, n, false)
			return
		}
	}
	if q := s.queue(); op == ws.OpPing {
		q.SetPing(s.cfg.keys.Append(nil, op, payload))
	} else {
		q.SetPong(s.cfg.keys.Append(nil, op, payload))
	}
	s.startWriter(h)
}

// pongReceived counts a pong, and reports whether it answers a ping. It is safe without the
// lock.
func (s *sender) pongReceived() (answers bool) {
	if s.unanswered.Load() == 0 {
		return false
	}
	s.unanswered.Add(-1)
	return true
}

// isClient reports whether the connection is one of a client.
func (s *sender) isClient() bool { return s.cfg.keys != nil }

// sendClose writes the close frame, or queues it behind the messages of the outbox.
func (s *sender) sendClose(h sendHost, code StatusCode, reason string) {
	n, frame := 0, s.cfg.keys.Masked(frame.NewClose(ws.StatusCode(code), reason))
	if s.mayWrite() {
		var err error
		switch n, err = s.tryWrite(h, frame); {
		case err != nil:
			return
		case n == len(frame):
			h.closeFrameSent()
			return
		}
	}
	s.push(h, frame, n, true)
}

// closing is called when the connection begins to close: pings, pongs and sends that wait
// are dropped.
func (s *sender) closing() {
	s.state = stateClosing
	if s.outbox != nil {
		s.outbox.DropControl()
	}
	s.outbox.FailWaiters()
}

// dropMessages drops the messages of the outbox, except those that a write has begun.
func (s *sender) dropMessages() {
	if n := s.outbox.DropMessages(); n > 0 {
		s.cfg.counters.Drop(counters.Closed, n)
	}
}

// cut is called when the connection is cut: nothing can be written.
func (s *sender) cut() {
	s.state = stateCut
	s.outbox.FailWaiters()
	if q := s.outbox; q != nil {
		q.DropControl()
		q.Abandon()
	}
	s.dropMessages()
}

// closeTransport closes the transport if there is one.
func (s *sender) closeTransport() error {
	if !s.attached {
		return nil
	}
	return s.transport.Close()
}

// progressed notes that the writer has made progress. It is safe without the lock.
func (s *sender) progressed(q *outbox.Queue) { q.Progressed(s.cfg.ticker.Elapsed()) }

// lastProgress returns when the writer last made progress; false if there is no writer.
func (s *sender) lastProgress() (at time.Duration, writing bool) {
	if !s.outbox.Writing() {
		return 0, false
	}
	return s.outbox.LastProgress(), true
}

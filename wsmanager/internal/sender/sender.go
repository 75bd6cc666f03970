package sender

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Errors of sends. wsmanager exports them under the same names.
var (
	ErrClosed     = errors.New("wsmanager: the connection is closed")
	ErrOutboxFull = errors.New("wsmanager: the outbox is full")
)

// Sender is the sending half of one connection. Init has to be called before its other methods.
type Sender struct {
	cfg       *Config
	transport transport.Transport // static once attached; a *handshaking before
	outbox    *outbox.Queue       // nil while it is empty

	unanswered atomic.Int32 // pings without a pong; safe without the lock

	state    state
	attached bool // the handshake has been sent, and transport is set
	policy   Policy
	stripe   uint8 // of the counters
}

// state is what the Sender has to know of the connection's state. It only increases.
type state uint8

const (
	open    state = iota
	closing       // the close frame is queued or sent, or will be at once
	cut           // the transport is closed
)

// Config is the part of the Senders of one Manager that they share.
type Config struct {
	MaxMessages int // Outbox.Messages
	MaxBytes    int // Outbox.Bytes

	// StuckAfter is the time without progress after which a write counts as stuck. It is
	// [StuckAfter] except in tests.
	StuckAfter time.Duration

	Keys   *frame.MaskKeys    // nil on the server's side
	OnSent func(frame []byte) // see outbox.New; may be nil

	Ticker   *timewheel.Ticker
	Counters *counters.Counters
	Active   *activity.Counter // counts writer goroutines
}

// Host is the connection as its Sender sees it. The Locker is the connection's lock. It is held
// in calls of the other methods.
type Host interface {
	sync.Locker

	// WriterStarted is called when the write time-out begins to count.
	WriterStarted()

	// WriteFailed cuts the connection: the peer is gone.
	WriteFailed(err error)

	// ConsumerTooSlow fails the connection: the outbox is full.
	ConsumerTooSlow()

	// CloseFrameSent is called when the close frame has been written.
	CloseFrameSent()
}

// Init makes s the Sender of a connection whose handshake is not sent yet. remote is the peer's
// address. stripe selects the counters of the traffic.
func (s *Sender) Init(cfg *Config, remote net.Addr, policy Policy, stripe uint8) {
	s.cfg, s.transport, s.policy, s.stripe = cfg, &handshaking{remote: remote}, policy, stripe
}

// Attach sets the transport when the handshake has been sent. Flush then writes the frames that
// were queued until now.
func (s *Sender) Attach(t transport.Transport) { s.transport, s.attached = t, true }

// SetPolicy changes the policy.
func (s *Sender) SetPolicy(p Policy) { s.policy = p }

// Attached reports whether Attach was called.
func (s *Sender) Attached() bool { return s.attached }

// Transport returns the transport. Before Attach, only its RemoteAddr can be called.
func (s *Sender) Transport() transport.Transport { return s.transport }

// handshaking is the transport until Attach. It knows the peer's address only; its other
// methods panic.
type handshaking struct {
	transport.Transport
	remote net.Addr
}

func (h *handshaking) RemoteAddr() net.Addr { return h.remote }

// Traffic returns the counters of the connection's stripe. It is safe without the lock.
func (s *Sender) Traffic() *counters.Traffic { return s.cfg.Counters.Stripe(s.stripe) }

// IsOpen reports whether messages can be sent.
func (s *Sender) IsOpen() bool { return s.state == open }

// Send writes the frame of a message, or queues it if it fits. A frame that is not shared is
// copied if it has to be queued. It returns ErrClosed or ErrOutboxFull, without a wrapper.
func (s *Sender) Send(h Host, frame []byte, shared bool) error {
	sent, err := s.write(h, frame, shared)
	if sent || err != nil {
		return err
	}
	return s.enqueue(h, frame, shared)
}

// SendUnlimited is Send without the limits of the outbox and without a policy.
func (s *Sender) SendUnlimited(h Host, frame []byte) error {
	sent, err := s.write(h, frame, false)
	if err == nil && !sent {
		s.push(h, frame, 0, false)
	}
	return err
}

// SendJoined writes several shared frames together, if nothing has to be written before them.
// data is their concatenation. It returns how many of them were written or queued: the first
// ones, maybe none. The caller calls Enqueue for the others.
func (s *Sender) SendJoined(h Host, data []byte, frames [][]byte) (sent int) {
	if s.state != open || !s.mayWrite() {
		return 0
	}
	if t, ok := s.transport.(*transport.Sink); ok {
		if deliver(s, h, t, true, frames...) != nil {
			return 0 // Enqueue returns ErrClosed
		}
		return len(frames)
	}
	n, _ := s.tryWrite(h, data) // an error has changed s.state
	for sent < len(frames) && n >= len(frames[sent]) {
		n -= len(frames[sent])
		sent++
	}
	s.Traffic().MessagesOut.Add(uint64(sent))
	if n > 0 && s.state == open {
		s.push(h, frames[sent], n, true)
		sent++
	}
	return sent
}

// Enqueue queues a shared frame behind those of SendJoined. Its errors are those of Send.
func (s *Sender) Enqueue(h Host, frame []byte) error {
	if s.state != open {
		return ErrClosed
	}
	return s.enqueue(h, frame, true)
}

// write writes a frame if no other frame has to be written before it. A frame of which the
// transport takes only a part counts as sent: the rest is queued.
func (s *Sender) write(h Host, frame []byte, shared bool) (sent bool, err error) {
	if s.state != open {
		return false, ErrClosed
	}
	if !s.mayWrite() {
		return false, nil
	}
	if t, ok := s.transport.(*transport.Sink); ok {
		return true, deliver(s, h, t, shared, frame)
	}
	t, ok := s.transport.(transport.TryWriter)
	if !ok {
		return false, nil
	}
	n, err := t.TryWrite(frame)
	if n == len(frame) && err == nil { // the usual case, without another call
		traffic := s.Traffic()
		traffic.BytesOut.Add(uint64(n))
		traffic.MessagesOut.Add(1)
		return true, nil
	}
	if tried(s, h, n, err); err != nil {
		return false, ErrClosed
	}
	if n > 0 {
		s.push(h, frame, n, shared)
	}
	return n > 0, nil
}

// deliver passes frames to a sink.
func deliver(s *Sender, h Host, t *transport.Sink, shared bool, frames ...[]byte) error {
	if err := t.Deliver(frames, shared); err != nil {
		h.WriteFailed(err)
		return ErrClosed
	}
	return nil
}

// mayWrite reports whether no frame has to be written before a new one.
func (s *Sender) mayWrite() bool {
	return s.attached && (s.outbox == nil || !s.outbox.Writing() && !s.outbox.Pending())
}

// tryWrite writes as much of p as possible without blocking, which is nothing if the
// transport is not a TryWriter. An error has cut the connection.
func (s *Sender) tryWrite(h Host, p []byte) (n int, err error) {
	t, ok := s.transport.(transport.TryWriter)
	if !ok {
		return 0, nil
	}
	n, err = t.TryWrite(p)
	tried(s, h, n, err)
	return n, err
}

// tried counts the bytes of a TryWrite, and reports its error.
func tried(s *Sender, h Host, n int, err error) {
	if n > 0 {
		s.Traffic().BytesOut.Add(uint64(n))
	}
	if err != nil {
		h.WriteFailed(err)
	}
}

// push queues a frame of which the first sent bytes have been written. It applies no limits. A
// frame that is not shared is in a buffer of frame.GetBuffer, and is copied unless PutBuffer
// leaves the buffer to the outbox.
func (s *Sender) push(h Host, p []byte, sent int, shared bool) {
	if !shared && cap(p) <= frame.MaxPooled {
		p = append([]byte(nil), p...)
	}
	s.queue().Push(p, sent)
	s.startWriter(h)
}

// queue returns the outbox, and makes it if there is none.
func (s *Sender) queue() *outbox.Queue {
	if s.outbox == nil {
		s.outbox = outbox.New(s.cfg.OnSent)
	}
	return s.outbox
}

// Idle reports whether nothing is queued and no writer is at work. Then s has no outbox.
func (s *Sender) Idle() bool { return s.outbox == nil }

// LastFrame returns the newest frame of the outbox, or nil.
func (s *Sender) LastFrame() []byte { return s.outbox.Last() }

// Waiting returns how many sends wait for room; see [Sender.SendOrWait].
func (s *Sender) Waiting() int { return s.outbox.Waiters() }

// IsClient reports whether the connection is one of a client.
func (s *Sender) IsClient() bool { return s.cfg.Keys != nil }

// DropMessages drops the messages of the outbox, except those that a write has begun.
func (s *Sender) DropMessages() {
	if n := s.outbox.DropMessages(); n > 0 {
		s.cfg.Counters.Drop(counters.Closed, n)
	}
}

// Cut is called when the connection is cut: nothing can be written.
func (s *Sender) Cut() {
	s.state = cut
	s.outbox.FailWaiters()
	if q := s.outbox; q != nil {
		q.DropControl()
		q.Abandon()
	}
	s.DropMessages()
}

// CloseTransport closes the transport if there is one.
func (s *Sender) CloseTransport() error {
	if !s.attached {
		return nil
	}
	return s.transport.Close()
}

package sender

import (
	"runtime"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Policy is what happens if the outbox is full. wsmanager.SlowConsumer has the same values.
type Policy uint8

// The policies.
const (
	Close      Policy = iota + 1 // the connection is closed
	DropNewest                   // the new message is dropped
	DropOldest                   // the oldest messages are dropped, until there is room
)

// enqueue queues the frame of a message if it fits, and applies the policy if it does not.
func (s *Sender) enqueue(h Host, frame []byte, shared bool) error {
	if err := s.makeRoom(h, len(frame)); err != nil {
		return err
	}
	s.push(h, frame, 0, shared)
	return nil
}

// makeRoom applies the policy if a frame of n bytes does not fit. After an error the frame must
// not be queued.
func (s *Sender) makeRoom(h Host, n int) error {
	if !s.fits(n) {
		switch s.policy {
		case DropOldest:
			for !s.fits(n) && s.outbox.DropOldest() {
				s.cfg.Counters.Drop(counters.Oldest, 1)
			}
		case DropNewest:
			s.cfg.Counters.Drop(counters.OutboxFull, 1)
			return ErrOutboxFull
		default:
			s.cfg.Counters.Drop(counters.OutboxFull, 1)
			h.ConsumerTooSlow()
			return ErrOutboxFull
		}
	}
	return nil
}

// fits reports whether the outbox has room for a frame of n bytes. Messages that are being
// written count, except with DropOldest: one stuck message would push out every new one. A
// message that is bigger than MaxBytes is taken alone. Those behind it have room as if it were
// not there: a ping or a small message must not end the connection because of its size.
func (s *Sender) fits(n int) bool {
	messages, bytes := s.outbox.Load()
	if s.policy == DropOldest {
		messages, bytes = s.outbox.Droppable()
	} else if bytes > s.cfg.MaxBytes-n {
		bytes -= s.outbox.FirstAbove(s.cfg.MaxBytes)
	}
	if n > s.cfg.MaxBytes-bytes && messages > 0 { // the sum could overflow an int of 32 bits
		return false
	}
	return messages < s.cfg.MaxMessages || messages < BurstFactor*s.cfg.MaxMessages && s.WriterAdvances()
}

// With a transport that cannot write without blocking, each message passes the outbox, and a
// short backlog reflects goroutine scheduling, not a slow peer. So the limit of messages is
// BurstFactor times as high until the write in progress has been stuck for StuckAfter. The
// limit of bytes always applies.
const (
	BurstFactor = 16
	StuckAfter  = time.Second
)

// WriterAdvances reports whether the connection is open and a blocking write is in progress that
// is not stuck.
func (s *Sender) WriterAdvances() bool {
	_, blocking := s.transport.(transport.BlockingWriter)
	return blocking && s.state == open && s.outbox.Writing() && !s.Stuck()
}

// Stuck reports whether the writer has made no progress for StuckAfter.
func (s *Sender) Stuck() bool {
	since, writing := s.LastProgress()
	return writing && s.cfg.Ticker.Elapsed()-since >= s.cfg.StuckAfter
}

// Crowded reports whether a backlog of a blocking transport has reached half of its limit.
// The caller then calls YieldToWriter, without the lock.
func (s *Sender) Crowded() bool { return s.outbox != nil && backlogCrowded(s) }

func backlogCrowded(s *Sender) bool {
	messages, bytes := s.outbox.Load()
	return (messages/(BurstFactor/2) >= s.cfg.MaxMessages || bytes > s.cfg.MaxBytes/2) && s.WriterAdvances()
}

// YieldToWriter lets the writer's goroutine run. On one processor it could not run before the
// sending goroutine waits.
func YieldToWriter() { runtime.Gosched() }

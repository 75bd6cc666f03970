package wsmanager

import (
	"runtime"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// enqueue queues the frame of a message if it fits, and applies the policy if it does not.
func (s *sender) enqueue(h sendHost, frame []byte, shared bool) error {
	if err := s.makeRoom(h, len(frame)); err != nil {
		return err
	}
	s.push(h, frame, 0, shared)
	return nil
}

// makeRoom applies the policy if a frame of n bytes does not fit. After an error the frame must
// not be queued.
func (s *sender) makeRoom(h sendHost, n int) error {
	if !s.fits(n) {
		switch s.policy {
		case SlowConsumerDropOldest:
			for !s.fits(n) && s.outbox.DropOldest() {
				s.cfg.counters.Drop(counters.Oldest, 1)
			}
		case SlowConsumerDropNewest:
			s.cfg.counters.Drop(counters.OutboxFull, 1)
			return ErrOutboxFull
		default:
			s.cfg.counters.Drop(counters.OutboxFull, 1)
			h.consumerTooSlow()
			return ErrOutboxFull
		}
	}
	return nil
}

// fits reports whether the outbox has room for a frame of n bytes. Messages that are being
// written count, except with SlowConsumerDropOldest: one stuck message would push out every
// new one.
func (s *sender) fits(n int) bool {
	messages, bytes := s.outbox.Load()
	if s.policy == SlowConsumerDropOldest {
		messages, bytes = s.outbox.Droppable()
	}
	if n > s.cfg.maxBytes-bytes { // the sum could overflow an int of 32 bits
		return false
	}
	return messages < s.cfg.maxMessages || messages < queueBurstFactor*s.cfg.maxMessages && s.writerAdvances()
}

// With a transport that cannot write without blocking, each message passes the outbox, and a
// short backlog reflects goroutine scheduling, not a slow peer. So the limit of messages is
// queueBurstFactor times as high until the write in progress has been stuck for stuckAfter.
// The limit of bytes always applies.
const (
	queueBurstFactor = 16
	stuckAfter       = time.Second
)

// writerAdvances reports whether a blocking write is in progress that is not stuck.
func (s *sender) writerAdvances() bool {
	_, blocking := s.transport.(transport.BlockingWriter)
	return blocking && s.outbox.Writing() && !s.stuck()
}

// stuck reports whether the writer has made no progress for stuckAfter.
func (s *sender) stuck() bool {
	since, writing := s.lastProgress()
	return writing && s.cfg.ticker.Elapsed()-since >= s.cfg.stuckAfter
}

// crowded reports whether a backlog of a blocking transport has reached half of its limit.
// The caller then calls yieldToWriter, without the lock.
func (s *sender) crowded() bool { return s.outbox != nil && s.backlogCrowded() }

func (s *sender) backlogCrowded() bool {
	messages, bytes := s.outbox.Load()
	return (messages/(queueBurstFactor/2) >= s.cfg.maxMessages || bytes > s.cfg.maxBytes/2) && s.state == stateOpen && s.writerAdvances()
}

// yieldToWriter lets the writer's goroutine run. On one processor it could not run before
// the sender waits.
func yieldToWriter() { runtime.Gosched() }

package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Messages are acknowledged at the latest after ackInterval, and as soon as ackBytes of them have arrived: the other side
// sends nothing while more bytes than its buffer are unacknowledged (100,000 in Microsoft's clients), so that otherwise a
// connection would carry its buffer per second. An Ack costs as little as 32 KB of messages or a second, whatever their size.
const (
	ackInterval = time.Second
	ackBytes    = 32 << 10
)

// replay lets a session outlive its socket (SignalR Hub Protocol, version 2). Both sides count messages. A side keeps
// messages until the other side acknowledges them, sends them again on a new socket, and drops messages that it has
// already received.
//
// Files: replay_send.go writes the kept messages to the socket, replay_resume.go changes sockets, replay_ended.go
// sends items of streams again that have ended.
type replay struct {
	session *session

	mu      sync.Mutex      // guards all fields below; locked after conn.mu and after the lock of the hub's sink connection
	ws      *wsmanager.Conn // nil between two sockets
	attempt uint64          // number of the resume attempt that ws belongs to
	live    bool            // the other side is ready for messages on ws
	stopped bool            // the session gets no other socket

	sent           int64 // number of the last message
	unacked        unackedQueue
	written        int64            // number of the last message that was passed to ws
	trailers       map[int64][]byte // what follows a record when it is sent again, by number
	failed         bool             // ws takes no more messages
	pumping        bool             // a goroutine waits for room in the outbox of ws
	drained        func()           // called when the goroutine has passed all messages to ws, or ws has ended; may be nil
	reserved       int              // bytes of writes that have found space and are not in unacked yet
	spaceAvailable chan struct{}    // closed when a waiting write should check again; nil without waiting writes
	readPaused     bool             // the reader is blocked, so no acknowledgement is read
	allowance      replayAllowance

	received         int64 // highest number that was handled
	next             int64 // number of the next message
	awaitingSequence bool  // messages have no number until a Sequence arrives
	acked            int64 // highest number that was acknowledged to the other side
	unackedBytes     int   // that have arrived since the last Ack
	ackTimer         *time.Timer
}

func newReplay(s *session, ws *wsmanager.Conn) *replay {
	return &replay{session: s, ws: ws, live: true, next: 1, unacked: unackedQueue{limit: s.config.replayLimit}, allowance: newReplayAllowance(s.config)}
}

// deliver keeps counted records and sends them. Between two sockets it only keeps them. It does not wait.
func (r *replay) deliver(records [][]byte) error {
	r.mu.Lock()
	err := r.deliverLocked(records)
	r.mu.Unlock()
	if errors.Is(err, ErrSlowConsumer) {
		r.session.owner.replayOverflow(err)
	}
	return err
}

func (r *replay) deliverLocked(records [][]byte) error {
	size := 0
	for _, record := range records {
		size += recordSize(len(record))
	}
	switch {
	case r.stopped:
		return ErrClosed
	case r.unacked.len() > 0 && size > r.roomLocked()+r.reserved:
		return ErrSlowConsumer
	}
	for _, record := range records {
		r.sent++
		r.unacked.push(record)
	}
	r.sendLocked()
	return nil
}

// roomLocked returns how many bytes of memory further records may take. A record that is bigger than the limit is taken
// alone, and does not count.
func (r *replay) roomLocked() int {
	return r.session.config.replayLimit - r.unacked.size + r.unacked.large
}

// write waits while too many bytes are unacknowledged. Then it calls send, which delivers the record.
func (r *replay) write(ctx context.Context, record []byte, send func([]byte) error) error {
	if err := r.reserve(ctx, len(record)); err != nil {
		return err
	}
	defer r.release(len(record))
	return send(record)
}

// reserve waits for space for a record of n bytes. A record that is bigger than the limit waits until no other is
// unacknowledged, but not while the reader is paused: see setReadPaused.
func (r *replay) reserve(ctx context.Context, n int) error {
	c := r.session.config
	for {
		r.mu.Lock()
		room := r.roomLocked() - r.reserved
		large := recordSize(n) > c.replayLimit
		switch {
		case r.stopped:
			r.mu.Unlock()
			return ErrClosed
		case recordSize(n) <= room && (r.unacked.bytes+r.reserved < c.replayBuffer || r.readPaused),
			large && r.readPaused && r.unacked.large == 0 && room >= recordSize(0),
			r.unacked.len() == 0 && r.reserved == 0:
			r.reserved += n
			r.mu.Unlock()
			return nil
		}
		if r.spaceAvailable == nil {
			r.spaceAvailable = make(chan struct{})
		}
		space := r.spaceAvailable
		r.mu.Unlock()
		if err := r.waitForSpace(ctx, space); err != nil {
			return err
		}
	}
}

// release ends a reservation.
func (r *replay) release(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved -= n
	r.signalSpaceLocked() // another record of n bytes may have waited for the reservation only
}

func (r *replay) waitForSpace(ctx context.Context, space <-chan struct{}) error {
	r.session.owner.addWaiting(1)
	defer r.session.owner.addWaiting(-1)
	select {
	case <-space:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// setReadPaused marks the reader as blocked on pending calls. While it is, writes do not wait for acknowledgements: an
// unread Ack may be queued behind the calls' own input, which would deadlock.
func (r *replay) setReadPaused(paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readPaused = paused; paused {
		r.signalSpaceLocked()
	}
}

// writesBlocked reports whether writes wait while the reader is paused.
func (r *replay) writesBlocked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.readPaused && r.spaceAvailable != nil
}

func (r *replay) signalSpaceLocked() {
	if r.spaceAvailable != nil {
		close(r.spaceAvailable)
		r.spaceAvailable = nil
	}
}

func (r *replay) firstUnackedLocked() int64 { return r.sent - int64(r.unacked.len()) + 1 }

// acknowledge drops the messages up to number n, which the other side has received.
func (r *replay) acknowledge(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.firstUnackedLocked()
	switch {
	case n > r.sent:
		return fmt.Errorf("an Ack of message %d, but only %d messages were sent", n, r.sent)
	case n < first:
		return nil
	}
	r.unacked.drop(int(n - first + 1))
	r.written = max(r.written, n)
	r.signalSpaceLocked()
	return nil
}

// arrives counts a message of n bytes that has arrived, and reports whether it is new. handled follows if it was handled.
func (r *replay) arrives(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.awaitingSequence {
		return false
	}
	r.next++
	r.unackedBytes += n
	if r.next-1 > r.received {
		return true
	}
	if r.unackedBytes >= ackBytes { // the other side waits for the Ack that was lost with the last socket
		r.sendAckLocked()
	}
	return false
}

// handled notes that the new message that has arrived last need not be sent again. A message that is not handled, because
// its socket has ended before there was space for it, arrives again on the next socket.
func (r *replay) handled() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received++
	if r.ackTimer == nil {
		r.ackTimer = time.AfterFunc(ackInterval, r.sendAck)
	} else if r.received == r.acked+1 {
		r.ackTimer.Reset(ackInterval)
	}
	if r.unackedBytes >= ackBytes {
		r.sendAckLocked()
	}
}

// sendAck acknowledges all handled messages.
func (r *replay) sendAck() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sendAckLocked()
}

func (r *replay) sendAckLocked() {
	r.unackedBytes = 0
	if r.stopped || r.ws == nil || !r.live || r.acked == r.received {
		return
	}
	if r.sendSequenceLocked(&Ack{SequenceID: r.received}) != nil {
		r.ackTimer.Reset(ackInterval) // the outbox is full, or the socket has ended
		return
	}
	r.acked = r.received
}

package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// ackInterval is the longest time between the arrival of a message and its acknowledgement.
const ackInterval = time.Second

// replay lets a session outlive its socket (SignalR Hub Protocol, version 2). Both sides count messages. A side keeps
// messages until the other side acknowledges them, sends them again on a new socket, and drops messages that it has
// already received.
type replay struct {
	session *session

	mu      sync.Mutex      // guards all fields below; locked after conn.mu
	ws      *wsmanager.Conn // nil between two sockets
	attempt uint64          // number of the resume attempt that ws belongs to
	stopped bool            // the session gets no other socket

	sent           int64 // number of the last message
	unacked        [][]byte
	unackedBytes   int
	spaceAvailable chan struct{} // closed when a waiting write should check again; nil without waiting writes
	readPaused     bool          // the reader is blocked, so no acknowledgement is read

	received         int64 // highest number that has arrived
	next             int64 // number of the next message
	awaitingSequence bool  // messages have no number until a Sequence arrives
	acked            int64 // highest number that was acknowledged to the other side
	ackTimer         *time.Timer
}

func newReplay(s *session, ws *wsmanager.Conn) *replay { return &replay{session: s, ws: ws, next: 1} }

// post sends a counted record. Between two sockets it only keeps the record.
func (r *replay) post(record []byte) error {
	r.mu.Lock()
	err := r.postLocked(record)
	r.mu.Unlock()
	if errors.Is(err, ErrSlowConsumer) {
		r.session.owner.replayOverflow(err)
	}
	return err
}

func (r *replay) postLocked(record []byte) error {
	limit := r.session.config.replayLimit
	switch {
	case r.stopped:
		return ErrClosed
	case len(record) > limit:
		return wsmanager.ErrMessageTooBig
	case len(record) > limit-r.unackedBytes:
		return ErrSlowConsumer
	}
	r.sent++
	r.unacked = append(r.unacked, record)
	r.unackedBytes += len(record)
	r.sendLocked(record)
	return nil
}

// sendLocked sends a record on the socket, if there is one. If the socket is closing, the record is replayed on the next
// one.
func (r *replay) sendLocked(record []byte) {
	if r.ws != nil {
		r.session.touch()
		_ = r.ws.Send(r.session.frame(record))
	}
}

// write waits while too many bytes are unacknowledged.
func (r *replay) write(ctx context.Context, record []byte) error {
	c := r.session.config
	for {
		r.mu.Lock()
		fits := len(record) <= c.replayLimit-r.unackedBytes && (r.unackedBytes < c.replayBuffer || r.readPaused)
		if r.stopped || len(record) > c.replayLimit || fits {
			defer r.mu.Unlock()
			return r.postLocked(record)
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

// control sends a record that is not counted, if there is a socket.
func (r *replay) control(record []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sendLocked(record)
	return nil
}

func (r *replay) signalSpaceLocked() {
	if r.spaceAvailable != nil {
		close(r.spaceAvailable)
		r.spaceAvailable = nil
	}
}

func (r *replay) firstUnackedLocked() int64 { return r.sent - int64(len(r.unacked)) + 1 }

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
	for _, record := range r.unacked[:n-first+1] {
		r.unackedBytes -= len(record)
	}
	r.unacked = append([][]byte(nil), r.unacked[n-first+1:]...)
	r.signalSpaceLocked()
	return nil
}

// arrived counts a received message and reports whether it is new.
func (r *replay) arrived() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.awaitingSequence {
		return false
	}
	n := r.next
	r.next++
	if n <= r.received {
		return false
	}
	r.received = n
	if r.ackTimer == nil {
		r.ackTimer = time.AfterFunc(ackInterval, r.sendAck)
	} else if r.received == r.acked+1 {
		r.ackTimer.Reset(ackInterval)
	}
	return true
}

// sendAck acknowledges all received messages.
func (r *replay) sendAck() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.ws == nil || r.acked == r.received {
		return
	}
	r.acked = r.received
	r.sendSequenceLocked(&Ack{SequenceID: r.received})
}

// sendSequenceLocked sends an Ack or a Sequence. Version 2 needs a protocol that encodes both.
func (r *replay) sendSequenceLocked(m Message) {
	if record, err := r.session.protocol.Append(nil, m); err == nil {
		r.sendLocked(record)
	}
}

// resync handles a Sequence, the other side's first message on a new socket: n is the number of its next message.
func (r *replay) resync(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < 1 || n > r.received+1 {
		return fmt.Errorf("a Sequence that begins with message %d, but %d messages have arrived", n, r.received)
	}
	r.next, r.awaitingSequence = n, false
	if r.acked >= n { // the Ack was lost with the old socket
		r.acked = n - 1
		r.ackTimer.Reset(ackInterval)
	}
	return nil
}

// resume continues on a new socket.
func (r *replay) resume(ws *wsmanager.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resumeLocked(ws)
}

// resumeLocked sends the number of the first unacknowledged message, and then all of them.
func (r *replay) resumeLocked(ws *wsmanager.Conn) {
	r.ws, r.awaitingSequence = ws, true
	r.sendSequenceLocked(&Sequence{SequenceID: r.firstUnackedLocked()})
	for _, record := range r.unacked {
		r.sendLocked(record)
	}
	if r.acked != r.received {
		r.ackTimer.Reset(ackInterval)
	}
}

// suspend is called when a socket has ended and another may follow.
func (r *replay) suspend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ws = nil
}

// stop ends the replay. It returns the present socket, or nil.
func (r *replay) stop() *wsmanager.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.signalSpaceLocked()
	if r.ackTimer != nil {
		r.ackTimer.Stop()
	}
	return r.ws
}

package hub

import (
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// resumeClient continues a client's session on a new socket. A server is ready for messages as soon as it has accepted the
// socket.
func (r *replay) resumeClient(ws *wsmanager.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changeSocketLocked(ws)
	r.goLiveLocked()
}

// changeSocketLocked continues on a new socket. Nothing is sent on it before goLiveLocked.
func (r *replay) changeSocketLocked(ws *wsmanager.Conn) {
	r.ws, r.live, r.awaitingSequence = ws, false, true
	r.pumping, r.failed = false, false // the goroutine ends, because its socket is another
}

// goLiveLocked sends the number of the first unacknowledged message, and then all of them.
func (r *replay) goLiveLocked() {
	r.live = true
	_ = r.sendSequenceLocked(&Sequence{SequenceID: r.firstUnackedLocked()}) // an error means that the socket has ended
	r.trailers = r.trailersLocked(r.written)
	r.written = r.firstUnackedLocked() - 1
	r.sendLocked()
	if r.acked != r.received {
		r.ackTimer.Reset(ackInterval)
	}
}

// resync handles a Sequence, the other side's first message on a new socket: n is the number of its next message. The other
// side is ready for messages then. A server must not send anything before: clients ignore all messages until they wait for
// the server's Sequence, and they begin to read from a new socket earlier than that.
//
// A Sequence counts for its own socket only. The reader of an earlier one may be late.
func (r *replay) resync(ws *wsmanager.Conn, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ws != ws {
		return nil
	}
	if n < 1 || n > r.received+1 {
		return fmt.Errorf("a Sequence that begins with message %d, but %d messages have arrived", n, r.received)
	}
	r.next, r.awaitingSequence = n, false
	if r.acked >= n { // the Ack was lost with the old socket
		r.acked = n - 1
		r.ackTimer.Reset(ackInterval)
	}
	if !r.live && r.ws != nil {
		r.allowance.take(min(r.unacked.bytes, r.session.config.replayLimit)) // a record may be bigger: it is a whole buffer
		r.goLiveLocked()
	}
	return nil
}

// sequence returns the Sequence that begins a replay.
func (r *replay) sequence() *Sequence {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Sequence{SequenceID: r.firstUnackedLocked()}
}

// isLive reports whether messages are sent on the socket.
func (r *replay) isLive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ws != nil && r.live
}

// mayResume reports whether the session may be resumed now, and counts the attempt.
func (r *replay) mayResume() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.allowance.take(attemptCost)
}

// suspend is called when a socket has ended and another may follow.
func (r *replay) suspend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ws = nil
}

// stop ends the replay. It returns the present socket, or nil, and whether its other side is ready for messages.
func (r *replay) stop() (ws *wsmanager.Conn, live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.signalSpaceLocked()
	if r.ackTimer != nil {
		r.ackTimer.Stop()
	}
	return r.ws, r.live
}

// replayAllowance limits the bytes that are sent again to one connection: a client that resumes over and over would make the
// server send the whole buffer for each request.
type replayAllowance struct {
	config *sessionConfig
	left   float64 // bytes; negative after a replay that was larger
	at     time.Duration
}

const (
	// attemptCost is how many bytes an attempt to resume counts besides the messages that are sent again.
	attemptCost = 4 << 10

	// allowedReplays is how many times the whole buffer may be sent again at once. One more is allowed in each
	// replayInterval.
	allowedReplays = 4
	replayInterval = 10 * time.Second
)

func newReplayAllowance(c *sessionConfig) replayAllowance {
	return replayAllowance{config: c, left: allowedReplays * float64(c.replayLimit), at: c.now()}
}

// take takes n bytes, and reports whether there were any.
func (a *replayAllowance) take(n int) bool {
	now := a.config.now()
	limit := float64(a.config.replayLimit)
	a.left = min(a.left+limit*float64(now-a.at)/float64(replayInterval), allowedReplays*limit)
	a.at = now
	if a.left <= 0 {
		return false
	}
	a.left -= float64(n)
	return true
}

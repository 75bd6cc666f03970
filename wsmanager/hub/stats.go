package hub

import (
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Stats has the counters of a Hub; see [Hub.Stats].
type Stats struct {
	Connections  int // now, from the handshake to the end
	Suspended    int // of Connections: broken, and may be resumed
	PendingCalls int // of clients, that wait or run now
	UsedTokens   int // remembered now, see Options.MaxNegotiations

	Negotiations uint64 // answered with a token
	Handshakes   uint64 // completed: each has made a connection
	Resumptions  uint64 // of connections that were broken
	Calls        uint64 // of clients, that were answered or needed no answer
	FailedCalls  uint64 // of Calls: with an error

	WebSockets wsmanager.Stats // of the sockets below the connections
}

// counters are those of Stats that only grow.
type counters struct {
	negotiations, handshakes, resumptions, calls, failedCalls atomic.Uint64
}

// called counts a call that has ended.
func (n *counters) called(answer *Completion) {
	n.calls.Add(1)
	if answer.Error != "" {
		n.failedCalls.Add(1)
	}
}

// Stats returns the counters. It visits each connection, so its cost grows with their number.
func (h *Hub) Stats() Stats {
	s := Stats{
		UsedTokens:   h.tickets.record.Remembered(),
		Negotiations: h.counters.negotiations.Load(),
		Handshakes:   h.counters.handshakes.Load(),
		Resumptions:  h.counters.resumptions.Load(),
		Calls:        h.counters.calls.Load(),
		FailedCalls:  h.counters.failedCalls.Load(),
		WebSockets:   h.manager.Stats(),
	}
	for _, v := range h.conns.Range {
		c := v.(*conn)
		s.Connections++
		if c.session.socket.Load() == nil {
			s.Suspended++
		}
		c.mu.Lock()
		s.PendingCalls += int(c.pendingCalls)
		c.mu.Unlock()
	}
	return s
}

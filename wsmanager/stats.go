package wsmanager

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats is what a Manager has done, as [Manager.Stats] tells it. All but
// Connections, Groups, Users, Backplane.Connected and Backplane.Queued only grow.
type Stats struct {
	Connections int // registered now
	Groups      int // with members now
	Users       int // with connections now

	Accepted uint64 // handshakes answered with 101, or over HTTP/2 with 200
	Refused  Refused

	MessagesIn, BytesIn uint64 // messages received whole; bytes read, frame headers and control frames included

	// MessagesOut counts the messages whose last byte was handed to the socket,
	// BytesOut all bytes that were, frame headers and control frames included.
	MessagesOut, BytesOut uint64

	Dropped    Dropped
	Compressed Compressed
	Backplane  BackplaneStats

	// Closed counts the connections that have ended, by the code of the close
	// frame that began it, ours or the peer's: 1005 for one without a code, 1006
	// where there was none.
	Closed map[StatusCode]uint64
}

// Refused counts handshakes that did not become a connection, by reason.
type Refused struct {
	NotWebSocket uint64 // 426, 501: a request that asks for no WebSocket
	Malformed    uint64 // 400, 405, 426: a handshake that is none, or of another version
	Origin       uint64 // 403: a foreign origin
	Limit        uint64 // 503: Options.MaxConnections
	ShuttingDown uint64 // 503: Shutdown
	Rejected     uint64 // as OnAccept said by Reject
	Failed       uint64 // 500: OnAccept failed, or the connection could not be taken over
	BrokenOff    uint64 // ended while the 101, or 200, went out
}

// Dropped counts messages that were to be sent and will not arrive, once for each
// connection that does not get one, by reason. A send that returned ErrClosed, or
// was given up while it waited, is not among them.
type Dropped struct {
	OutboxFull uint64 // found the outbox full: ErrOutboxFull
	Oldest     uint64 // made room for newer ones, by SlowConsumerDropOldest
	Closed     uint64 // waited, or were on their way in part, when the connection ended
	Unsendable uint64 // broadcasts that can't be sent: see Manager.Broadcast
}

// Compressed counts the work of Options.Compression.
type Compressed struct {
	Accepted uint64 // handshakes that agreed on it, of Stats.Accepted
	In       uint64 // messages that came compressed, of MessagesIn

	// Out counts the messages that were compressed: a broadcast, or a Prepared that is
	// sent to many, once. Saved is how many bytes shorter they became, in all, each
	// message counted once as well. What compressing made no shorter is in Out, and went plain.
	Out, Saved uint64
}

// BackplaneStats counts the traffic with other nodes, in envelopes: a broadcast is one,
// whatever the number of receivers.
type BackplaneStats struct {
	Node      string // the id of this node, new with each New; "" without a backplane
	Connected bool   // now: see Manager.CheckBackplane
	Queued    int    // wait to be published now

	Published uint64 // taken by the bus
	Dropped   BackplaneDropped

	Received   uint64 // from other nodes
	Missed     uint64 // of these, for a connection that had gone
	Duplicates uint64 // came again, or far too late, and were dropped
	Malformed  uint64 // could not be read, and were dropped
	Unknown    uint64 // were of another version, and were dropped: nodes of two releases run side by side

	Errors uint64 // calls of the bus that failed
}

// BackplaneDropped counts what other nodes were to get and will not, by reason.
type BackplaneDropped struct {
	QueueFull uint64 // found Options.BackplaneMessages or BackplaneBytes exhausted
	Expired   uint64 // waited for Options.BackplaneTimeout
	Refused   uint64 // the bus returned an error though it was healthy: too big for it, perhaps
	Shutdown  uint64 // still waited when Shutdown gave up, or came after it
}

// Stats returns the Manager's counters. It costs about a microsecond, however many
// connections there are. The counters are read one after the other, so that figures
// of a busy Manager may be a few messages apart.
func (m *Manager) Stats() Stats {
	s := Stats{
		Connections: m.Len(),
		Groups:      m.groups.len(),
		Users:       m.users.len(),
		Accepted:    m.stats.accepted.Load(),
	}
	r := &m.stats.refused
	s.Refused = Refused{
		NotWebSocket: r[refusedNotWebSocket].Load(),
		Malformed:    r[refusedMalformed].Load(),
		Origin:       r[refusedOrigin].Load(),
		Limit:        r[refusedLimit].Load(),
		ShuttingDown: r[refusedShuttingDown].Load(),
		Rejected:     r[refusedRejected].Load(),
		Failed:       r[refusedFailed].Load(),
		BrokenOff:    r[refusedBrokenOff].Load(),
	}
	d := &m.stats.dropped
	s.Dropped = Dropped{
		OutboxFull: d[dropOutboxFull].Load(),
		Oldest:     d[dropOldest].Load(),
		Closed:     d[dropClosed].Load(),
		Unsendable: d[dropUnsendable].Load(),
	}
	s.Compressed = Compressed{
		Accepted: m.stats.agreed.Load(),
		In:       m.stats.inflated.Load(),
		Out:      m.stats.deflated.Load(),
		Saved:    m.stats.saved.Load(),
	}
	for i := range m.stats.traffic {
		t := &m.stats.traffic[i]
		s.MessagesIn += t.messagesIn.Load()
		s.BytesIn += t.bytesIn.Load()
		s.MessagesOut += t.messagesOut.Load()
		s.BytesOut += t.bytesOut.Load()
	}
	if m.bus != nil {
		s.Backplane = m.bus.figures()
	}
	m.stats.mu.Lock()
	defer m.stats.mu.Unlock()
	s.Closed = maps.Clone(m.stats.closed)
	return s
}

// stats is the counters of a Manager.
type stats struct {
	traffic [counterStripes]traffic

	accepted atomic.Uint64
	refused  [refusedReasons]atomic.Uint64
	dropped  [dropReasons]atomic.Uint64

	agreed, inflated, deflated, saved atomic.Uint64 // see Compressed

	mu     sync.Mutex // guards what follows
	closed map[StatusCode]uint64
}

type refusedReason uint8

const (
	refusedNotWebSocket refusedReason = iota
	refusedMalformed
	refusedOrigin
	refusedLimit
	refusedShuttingDown
	refusedRejected
	refusedFailed
	refusedBrokenOff
	refusedReasons
)

type dropReason uint8

const (
	dropOutboxFull dropReason = iota
	dropOldest
	dropClosed
	dropUnsendable
	dropReasons
)

func (s *stats) drop(why dropReason, messages int) { s.dropped[why].Add(uint64(messages)) }

func (s *stats) close(code StatusCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed[code]++
}

// traffic has the counters of one stripe of the connections. One counter for all connections
// would move between the caches of all processors, and one for each connection would be a
// sixth of the memory of an idle one.
type traffic struct {
	messagesIn, bytesIn, messagesOut, bytesOut atomic.Uint64

	_ [32]byte // to fill a line of the cache
}

// counterStripes is the number of stripes.
const counterStripes = 32

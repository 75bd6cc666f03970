package wsmanager

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats has the counters of a Manager; see [Manager.Stats]. All except Connections, Groups,
// Users, Backplane.Connected and Backplane.Queued only grow.
type Stats struct {
	Connections int // registered now
	Groups      int // with members now
	Users       int // with connections now

	Accepted uint64 // handshakes answered with 101, or over HTTP/2 with 200
	Refused  Refused

	MessagesIn uint64 // received completely
	BytesIn    uint64 // read, including frame headers and control frames

	MessagesOut uint64 // whose last byte was written to the socket
	BytesOut    uint64 // written to the socket, including frame headers and control frames

	Dropped    Dropped
	Compressed Compressed
	Backplane  BackplaneStats

	// Closed counts the connections that have ended, by the code of the first close
	// frame, ours or the peer's: 1005 for a close frame without a code, 1006 without a
	// close frame.
	Closed map[StatusCode]uint64
}

// Refused counts handshakes that did not become a connection, by reason.
type Refused struct {
	NotWebSocket uint64 // 426, 501: a request that does not ask for a WebSocket
	Malformed    uint64 // 400, 405, 426: a malformed handshake, or one of another version
	Origin       uint64 // 403: a foreign origin
	Limit        uint64 // 503: Options.MaxConnections
	ShuttingDown uint64 // 503: Shutdown
	Rejected     uint64 // OnAccept returned an error of Reject
	Failed       uint64 // 500: OnAccept failed, or the connection could not be hijacked
	BrokenOff    uint64 // the connection ended while the 101 or 200 was written
}

// Dropped counts messages that will not arrive, once for each connection that does not get
// the message, by reason. Sends that returned ErrClosed, and sends that were cancelled while
// they waited, do not count.
type Dropped struct {
	OutboxFull uint64 // the outbox was full: ErrOutboxFull
	Oldest     uint64 // removed to make room for newer messages: SlowConsumerDropOldest
	Closed     uint64 // in the outbox, or written in part, when the connection ended
	Unsendable uint64 // broadcasts that can't be sent: see Sent.Err
}

// Compressed counts the work of Options.Compression.
type Compressed struct {
	Accepted uint64 // handshakes that agreed on it, of Stats.Accepted
	In       uint64 // compressed messages, of Stats.MessagesIn

	// Out counts the messages that were compressed. A broadcast, or a Prepared that is
	// sent to several connections, counts once. Messages that compression made no
	// shorter are in Out too; they are sent plain.
	Out uint64

	// Saved is the number of bytes that compression has saved, counting each message of
	// Out once.
	Saved uint64
}

// BackplaneStats counts the traffic with other nodes, in envelopes: a broadcast is one
// envelope, for any number of receivers.
type BackplaneStats struct {
	Node      string // the id of this node, which each New makes; "" without a backplane
	Connected bool   // now: see Manager.CheckBackplane
	Queued    int    // not published yet

	Published uint64 // accepted by the bus
	Dropped   BackplaneDropped

	Received   uint64 // from other nodes
	Missed     uint64 // of Received, for a connection that had ended
	Duplicates uint64 // dropped because they came again, or far too late
	Malformed  uint64 // dropped because they can't be read
	Unknown    uint64 // dropped because they have another version: nodes of two releases run side by side

	Errors uint64 // calls of the bus that failed
}

// BackplaneDropped counts envelopes that other nodes will not get, by reason.
type BackplaneDropped struct {
	QueueFull uint64 // Options.BackplaneMessages or BackplaneBytes was exhausted
	Expired   uint64 // not published within Options.BackplaneTimeout
	Refused   uint64 // a healthy bus returned an error, for example because the envelope is too big for it
	Shutdown  uint64 // not published when Shutdown ended, or sent after it
}

// Stats returns the Manager's counters. Its cost does not depend on the number of
// connections. The counters are read one after the other, so those of a busy Manager may
// differ by a few messages.
func (m *Manager) Stats() Stats {
	s := Stats{
		Connections: m.registry.len(),
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

// stats has the counters of a Manager.
type stats struct {
	traffic [counterStripes]traffic

	accepted atomic.Uint64
	refused  [refusedReasons]atomic.Uint64
	dropped  [dropReasons]atomic.Uint64

	agreed, inflated, deflated, saved atomic.Uint64 // see Compressed

	mu     sync.Mutex // guards closed
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

// traffic is one stripe of the traffic counters, for a part of the connections. With one
// stripe for all connections, all processors would write to one cache line; with one for
// each, an idle connection would be a sixth bigger.
type traffic struct {
	messagesIn, bytesIn, messagesOut, bytesOut atomic.Uint64

	_ [32]byte // fills the cache line
}

// counterStripes is the number of stripes.
const counterStripes = 32

package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/counters"

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

	// Expired counts the connections that were closed because they expired: see
	// Accept.Expires.
	Expired uint64

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
	Connected bool   // now: see Manager.PingBackplane
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
	QueueFull uint64 // Options.BackplaneQueue.Messages or BackplaneQueue.Bytes was exhausted
	Expired   uint64 // not published within Options.BackplaneQueue.Timeout
	Refused   uint64 // a healthy bus returned an error, for example because the envelope is too big for it
	Shutdown  uint64 // not published when Shutdown ended, or sent after it
}

// Stats returns the Manager's counters. Its cost does not depend on the number of
// connections. The counters are read one after the other, so those of a busy Manager may
// differ by a few messages.
func (m *Manager) Stats() Stats {
	n := &m.counters
	traffic := n.Total()
	s := Stats{
		Connections: m.registry.Len(),
		Groups:      m.groups.Len(),
		Users:       m.users.Len(),
		Accepted:    n.Accepted.Load(),
		Refused: Refused{
			NotWebSocket: n.Refused(counters.NotWebSocket),
			Malformed:    n.Refused(counters.Malformed),
			Origin:       n.Refused(counters.Origin),
			Limit:        n.Refused(counters.Limit),
			ShuttingDown: n.Refused(counters.ShuttingDown),
			Rejected:     n.Refused(counters.Rejected),
			Failed:       n.Refused(counters.Failed),
			BrokenOff:    n.Refused(counters.BrokenOff),
		},
		MessagesIn:  traffic.MessagesIn,
		BytesIn:     traffic.BytesIn,
		MessagesOut: traffic.MessagesOut,
		BytesOut:    traffic.BytesOut,
		Dropped: Dropped{
			OutboxFull: n.Dropped(counters.OutboxFull),
			Oldest:     n.Dropped(counters.Oldest),
			Closed:     n.Dropped(counters.Closed),
			Unsendable: n.Dropped(counters.Unsendable),
		},
		Compressed: Compressed{
			Accepted: n.Compression.Agreed.Load(),
			In:       n.Compression.Inflated.Load(),
			Out:      n.Compression.Deflated.Load(),
			Saved:    n.Compression.Saved.Load(),
		},
		Expired: n.Expired.Load(),
		Closed:  make(map[StatusCode]uint64),
	}
	for code, ended := range n.ByCode() {
		s.Closed[StatusCode(code)] = ended
	}
	if m.bus != nil {
		s.Backplane = m.bus.snapshot()
	}
	return s
}

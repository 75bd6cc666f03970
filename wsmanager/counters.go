package wsmanager

import (
	"sync"
	"sync/atomic"
)

// stats has the counters of a Manager.
type stats struct {
	traffic [counterStripes]traffic

	accepted atomic.Uint64
	refused  [refusedReasons]atomic.Uint64
	dropped  [dropReasons]atomic.Uint64

	agreed   atomic.Uint64 // Compressed.Accepted
	inflated atomic.Uint64 // Compressed.In
	deflated atomic.Uint64 // Compressed.Out
	saved    atomic.Uint64 // Compressed.Saved

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

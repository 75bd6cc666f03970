package counters

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Counters are safe for concurrent use. The zero value is ready to use. Only Close and
// ByCode take a lock.
type Counters struct {
	stripes [Stripes]Traffic

	Accepted atomic.Uint64 // handshakes
	Expired  atomic.Uint64 // connections
	refused  [refusals]atomic.Uint64
	dropped  [drops]atomic.Uint64

	Compression Compression

	mu     sync.Mutex // guards closed
	closed map[uint16]uint64
}

// Stripes is the number of parts of the traffic counters.
const Stripes = 32

// Traffic counts the traffic of a part of the connections. With one Traffic for all
// connections, all processors would write to one cache line; with one for each, an idle
// connection would be a sixth bigger.
type Traffic struct {
	MessagesIn, BytesIn, MessagesOut, BytesOut atomic.Uint64

	_ [32]byte // fills the cache line
}

// Stripe returns the counters for a connection with this number.
func (c *Counters) Stripe(n uint8) *Traffic { return &c.stripes[n%Stripes] }

// Total is the sum of all stripes.
type Total struct {
	MessagesIn, BytesIn, MessagesOut, BytesOut uint64
}

// Total adds up the stripes, one after the other.
func (c *Counters) Total() (sum Total) {
	for i := range c.stripes {
		t := &c.stripes[i]
		sum.MessagesIn += t.MessagesIn.Load()
		sum.BytesIn += t.BytesIn.Load()
		sum.MessagesOut += t.MessagesOut.Load()
		sum.BytesOut += t.BytesOut.Load()
	}
	return sum
}

// RefusalReason is the reason why a handshake did not become a connection.
type RefusalReason uint8

// The reasons are described at wsmanager.Refused.
const (
	NotWebSocket RefusalReason = iota
	Malformed
	Origin
	Limit
	ShuttingDown
	Rejected
	Failed
	BrokenOff
	refusals
)

// Refuse counts a handshake that was refused for the reason.
func (c *Counters) Refuse(reason RefusalReason) { c.refused[reason].Add(1) }

// Refused returns the number of handshakes that were refused for the reason.
func (c *Counters) Refused(reason RefusalReason) uint64 { return c.refused[reason].Load() }

// DropReason is the reason why a message will not arrive.
type DropReason uint8

// The reasons are described at wsmanager.Dropped.
const (
	OutboxFull DropReason = iota
	Oldest
	Closed
	Unsendable
	drops
)

// Drop counts messages dropped for the reason.
func (c *Counters) Drop(reason DropReason, messages int) {
	c.dropped[reason].Add(uint64(messages))
}

// Dropped returns the number of messages that were dropped for the reason.
func (c *Counters) Dropped(reason DropReason) uint64 { return c.dropped[reason].Load() }

// Compression counts the work of permessage-deflate.
type Compression struct {
	Agreed   atomic.Uint64 // handshakes
	Inflated atomic.Uint64 // messages
	Deflated atomic.Uint64 // messages; one that is sent to several connections counts once
	Saved    atomic.Uint64 // bytes
}

// Close counts a connection that has ended, by the code of its first close frame.
func (c *Counters) Close(code uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == nil {
		c.closed = make(map[uint16]uint64)
	}
	c.closed[code]++
}

// ByCode returns the number of connections that have ended, by code. The map belongs to the
// caller.
func (c *Counters) ByCode() map[uint16]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.closed)
}

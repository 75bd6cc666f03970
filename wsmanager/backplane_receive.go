package wsmanager

import (
	"errors"
	"log/slog"
	"sync"
)

// receive handles an envelope of the bus.
func (b *bus) receive(p []byte) {
	e, err := readEnvelope(p)
	switch {
	case errors.Is(err, errEnvelopeVersion):
		b.stats.versions.Add(1)
		return
	case err != nil:
		b.stats.malformed.Add(1)
		return
	case string(e.node) == b.node:
		return // delivered before it was published
	case !b.senders.isNew(e.node, e.sequence):
		b.stats.duplicates.Add(1)
		return
	}
	b.stats.received.Add(1)
	b.act(&e)
}

// act does what an envelope of another node says.
func (b *bus) act(e *envelope) {
	if a, ok := e.audience(b.m); ok {
		if e.hasMessages() {
			a.sendLocal(e.prepared())
		} else {
			b.logRefused("", a.applyLocal(e))
		}
		return
	}
	c := b.m.registry.get(string(e.target))
	if c == nil {
		b.stats.missed.Add(1)
		return
	}
	err := c.apply(e)
	switch {
	case errors.Is(err, ErrClosed):
		b.stats.missed.Add(1)
	case !errors.Is(err, ErrOutboxFull): // a full outbox is counted where it happens
		b.logRefused(c.id, err)
	}
}

// logRefused logs that a connection, or one of several if id is "", can't do what another
// node has asked for.
func (b *bus) logRefused(id string, err error) {
	if err != nil {
		b.m.logger().LogAttrs(b.m.opts.BaseContext, slog.LevelWarn, "a request of another node failed",
			slog.String("conn", id), slog.Any("err", err))
	}
}

// apply does what an envelope says with the connection.
func (c *Conn) apply(e *envelope) error {
	switch e.kind {
	case envelopeConn:
		if e.messages[0].variants == allVariants {
			return c.Send(e.messages[0].Message)
		}
		return c.SendPrepared(e.prepared())
	case envelopeClose:
		return c.Close(e.code, string(e.text))
	case envelopeJoin:
		return c.Join(string(e.text))
	case envelopeLeave:
		return c.Leave(string(e.text))
	}
	return nil
}

// deduplicator knows which envelopes of which nodes have arrived, because a bus may deliver
// them more than once.
type deduplicator struct {
	mu    sync.Mutex // guards the fields below
	nodes map[string]*window
	clock uint64 // counts envelopes
}

// maxSenders is the number of nodes that a deduplicator remembers. A restart makes a new
// node. A new node replaces the one that was silent longest.
const maxSenders = 1024

// isNew reports whether an envelope has not arrived before.
func (s *deduplicator) isNew(node []byte, sequence uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.nodes[string(node)]
	if w == nil {
		if s.nodes == nil {
			s.nodes = make(map[string]*window)
		}
		if len(s.nodes) >= maxSenders {
			s.forgetLocked()
		}
		w = &window{}
		s.nodes[string(node)] = w
	}
	s.clock++
	w.lastSeen = s.clock
	return w.add(sequence)
}

func (s *deduplicator) forgetLocked() {
	var silent string
	oldest := s.clock + 1
	for node, w := range s.nodes {
		if w.lastSeen < oldest {
			silent, oldest = node, w.lastSeen
		}
	}
	delete(s.nodes, silent)
}

// window says which of a node's last windowSize envelopes have arrived. Older envelopes count
// as arrived, so that a bus may repeat an hour of history. (RFC 6479 finds repeated packets of
// IPsec in this way.)
type window struct {
	lastSeen uint64 // deduplicator.clock at the last envelope
	last     uint64 // the highest sequence
	seen     [windowSize / 64]uint64
}

const windowSize = 4096

func (w *window) add(sequence uint64) bool {
	if w.last >= windowSize && sequence <= w.last-windowSize {
		return false
	}
	if sequence > w.last {
		// The envelopes in between have not arrived.
		if sequence-w.last >= windowSize {
			clear(w.seen[:])
		} else {
			for s := sequence; s != w.last; s-- { // upwards, the largest sequence would not end the loop
				w.seen[s%windowSize/64] &^= 1 << (s % 64)
			}
		}
		w.last = sequence
	}
	bit := &w.seen[sequence%windowSize/64]
	if *bit&(1<<(sequence%64)) != 0 {
		return false
	}
	*bit |= 1 << (sequence % 64)
	return true
}

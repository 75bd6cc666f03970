package wsmanager

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
)

// receive takes an envelope from the bus.
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
	b.m.act(&e, &b.stats.missed)
}

// act does here what an envelope of another node says.
func (m *Manager) act(e *envelope, missed *atomic.Uint64) {
	switch e.kind {
	case envelopeAll:
		m.broadcaster.send(&m.registry.queue, e.prepared(), namesOf(e.except))
	case envelopeGroup, envelopeUser:
		sets := &m.groups
		if e.kind == envelopeUser {
			sets = &m.users
		}
		if set := sets.get(string(e.target)); set != nil {
			m.broadcaster.send(&set.queue, e.prepared(), namesOf(e.except))
		}
	default:
		c := m.registry.get(string(e.target))
		if c == nil {
			missed.Add(1)
			return
		}
		if err := c.act(e); errors.Is(err, ErrClosed) {
			missed.Add(1)
		} else if err != nil && !errors.Is(err, ErrOutboxFull) { // which is counted where it happens
			m.logger().LogAttrs(m.opts.BaseContext, slog.LevelWarn, "what another node asked for can't be done",
				slog.String("id", c.id), slog.Any("err", err))
		}
	}
}

// act does to a connection what an envelope of another node says.
func (c *Conn) act(e *envelope) error {
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
		c.Leave(string(e.text))
	}
	return nil
}

// senders knows which envelopes of which nodes have come, so that a bus may deliver
// them more than once.
type senders struct {
	mu    sync.Mutex // guards what follows
	nodes map[string]*window
	clock uint64
}

// maxSenders bounds what is kept of nodes, most of which are gone: a restart makes a
// new one. The one that was silent longest makes room.
const maxSenders = 1024

// isNew reports whether an envelope has not come before.
func (s *senders) isNew(node []byte, sequence uint64) bool {
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
	w.heard = s.clock
	return w.add(sequence)
}

func (s *senders) forgetLocked() {
	var silent string
	oldest := s.clock + 1
	for node, w := range s.nodes {
		if w.heard < oldest {
			silent, oldest = node, w.heard
		}
	}
	delete(s.nodes, silent)
}

// window is which of a node's latest envelopes have come: the last windowSize. What is
// older counts as known, so that a bus that repeats an hour of history does no harm.
// (RFC 6479 keeps IPsec's packets apart in this way.)
type window struct {
	heard uint64 // of senders.clock
	last  uint64 // the highest sequence
	seen  [windowSize / 64]uint64
}

const windowSize = 4096

func (w *window) add(sequence uint64) bool {
	if w.last >= windowSize && sequence <= w.last-windowSize {
		return false
	}
	if sequence > w.last {
		// What lies between has not come.
		if sequence-w.last >= windowSize {
			clear(w.seen[:])
		} else {
			for s := w.last + 1; s <= sequence; s++ {
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

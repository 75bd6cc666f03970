package wsmanager

import "slices"

// Sent says what became of a broadcast. Connections that are closing are in
// neither number; neither are those on other nodes, behind a backplane.
type Sent struct {
	// Queued is how many connections it was written to or queued for. If it joined a
	// batch that another goroutine delivers, or that leaves when the callbacks of
	// messages that arrived together have returned, that is all connections that it is
	// for; an outbox that turns out to be full then is in [Stats] only.
	Queued int

	Dropped int // connections it could not be queued for
}

// count counts the result of one send.
func (s *Sent) count(err error) {
	switch err {
	case nil:
		s.Queued++
	case ErrOutboxFull:
		s.Dropped++
	}
}

// Broadcast sends a message to all connections that are registered when it begins
// and not closing. Once the first of them has got it, nobody who connects later does.
// It waits for no network: a connection that reads too slowly meets its
// [SlowConsumer] policy, without any effect on the others. The frame is made once.
//
// Broadcasts to one set that follow each other faster than they can be delivered one by
// one are joined: each receiver gets them in one write. A lone broadcast has been written
// or queued for each receiver when Broadcast returns. Otherwise it may return while
// another goroutine delivers; if 64 broadcasts or 128 KiB wait already, it waits for those
// under way. Broadcasts of callbacks whose messages have arrived together leave when the
// last of these was handled, after a millisecond at most. Sends, joins and closes don't
// wait for any of this. All receivers see broadcasts to the same set in the same order;
// what one goroutine sends arrives in the order of its calls, broadcasts and direct sends
// alike.
//
// A message that can't be sent (neither text nor binary, or bigger than
// Options.OutboxBytes) is dropped for all, and logged.
//
// With a backplane (Options.Backplane) it goes to the connections on all nodes. On the
// others it arrives in the order in which this node sent it; what two nodes send at the
// same time has no order that holds everywhere.
func (m *Manager) Broadcast(msg Message) Sent { return m.BroadcastPrepared(Prepare(msg)) }

// BroadcastExcept is Broadcast to all but the connections with these ids. Ids
// that are not registered are ignored.
func (m *Manager) BroadcastExcept(msg Message, ids ...string) Sent {
	return m.BroadcastPreparedExcept(Prepare(msg), ids...)
}

// BroadcastFunc is Broadcast to those connections for which want returns true. It
// is called on this goroutine and under no lock, for each connection just before
// the message is sent to it. Groups are the quicker way to reach a few of many.
//
// A function can't travel: the message goes to connections on this node only, backplane
// or not.
func (m *Manager) BroadcastFunc(msg Message, want func(*Conn) bool) Sent {
	return m.BroadcastPreparedFunc(Prepare(msg), want)
}

// BroadcastPrepared is Broadcast of a message that is ready.
func (m *Manager) BroadcastPrepared(p *Prepared) Sent {
	return m.BroadcastPreparedExcept(p)
}

// BroadcastPreparedExcept is BroadcastExcept of a message that is ready.
func (m *Manager) BroadcastPreparedExcept(p *Prepared, ids ...string) Sent {
	if m.bus != nil {
		m.bus.broadcast(envelopeAll, "", p, ids)
	}
	return m.broadcast(&m.registry.queue, p, ids)
}

// BroadcastPreparedFunc is BroadcastFunc of a message that is ready.
func (m *Manager) BroadcastPreparedFunc(p *Prepared, want func(*Conn) bool) Sent {
	return m.broadcastFunc(&m.registry, p, want)
}

// broadcast sends p to the set of a queue. What calls functions of the application
// happens before: another goroutine may deliver.
func (m *Manager) broadcast(q *broadcastQueue, p *Prepared, exceptIDs []string) Sent {
	if !m.batcher.wanted.Load() {
		m.batcher.wanted.Store(true)
	}
	b := broadcasts.Get().(*broadcast)
	b.encoded = q.encodings(m)
	var failed dialectSet
	for d := range b.encoded.all {
		frame, err := m.prepared(p, d)
		if err != nil {
			if plain := dialectOf(d.variant(), false); !failed.has(plain) {
				failed |= 1 << plain
				m.logger().Error("a broadcast can't be sent", "err", err, "variant", int(d.variant()))
			}
			frame = nil
		}
		b.frames[d] = frame
	}
	for _, id := range exceptIDs {
		if c := m.registry.get(id); c != nil && !slices.Contains(b.except, c) {
			b.except = append(b.except, c)
		}
	}
	return m.publish(q, b)
}

func (m *Manager) broadcastFunc(to recipients, p *Prepared, want func(*Conn) bool) (sent Sent) {
	logged := false
	for c := range walk(to) {
		d, ok := c.speaks()
		if !ok || !want(c) {
			continue
		}
		frame, err := m.prepared(p, d)
		if err == nil {
			sent.count(c.session().send(frame, true))
			continue
		}
		sent.Dropped++
		m.stats.drop(dropUnsendable, 1)
		if !logged {
			logged = true
			m.logger().Error("a broadcast can't be sent", "err", err, "variant", int(d.variant()))
		}
	}
	return sent
}

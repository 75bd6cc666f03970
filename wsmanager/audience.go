package wsmanager

import "iter"

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

func (s *Sent) add(sendable bool, n int) {
	if sendable {
		s.Queued += n
	} else {
		s.Dropped += n
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
	return m.broadcaster.send(&m.registry.queue, p, namesOf(ids))
}

// BroadcastPreparedFunc is BroadcastFunc of a message that is ready.
func (m *Manager) BroadcastPreparedFunc(p *Prepared, want func(*Conn) bool) Sent {
	return m.broadcaster.sendEach(&m.registry, p, want)
}

// Group is the connections of a Manager that have joined one name, or those of
// one user: see [Manager.Group] and [Manager.User]. It is a value and holds no
// connection: each call looks the members up. A group exists as long as it has
// members; an empty one costs nothing.
//
// With a backplane the members may live on any node. What is sent to the group reaches
// them all; Len, Members and [Sent] know those on this node.
type Group struct {
	m    *Manager
	set  *groups
	name string
}

// Group returns the group with the name, whether or not it has members.
func (m *Manager) Group(name string) Group { return Group{m, &m.groups, name} }

// User returns the connections that were accepted with the name in Accept.User,
// as a group: a user may have several.
func (m *Manager) User(name string) Group { return Group{m, &m.users, name} }

// SendUser sends a message to all connections of a user; Sent is zero if there
// are none on this node.
func (m *Manager) SendUser(name string, msg Message) Sent { return m.User(name).Broadcast(msg) }

// SendUserPrepared is SendUser of a message that is ready.
func (m *Manager) SendUserPrepared(name string, p *Prepared) Sent {
	return m.User(name).BroadcastPrepared(p)
}

// Name returns the group's or user's name.
func (g Group) Name() string { return g.name }

// Len returns how many connections are in the group, without those on other nodes.
func (g Group) Len() int {
	if set := g.set.get(g.name); set != nil {
		return set.len()
	}
	return 0
}

// Members walks the connections that are in the group when the walk begins, in no
// particular order, without those on other nodes. Those that leave meanwhile may still be seen. No lock is held
// while the loop's body runs.
func (g Group) Members() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		if set := g.set.get(g.name); set != nil {
			walk(set)(yield)
		}
	}
}

// Broadcast sends a message to the members; see [Manager.Broadcast], which it is
// like in all but who gets it.
func (g Group) Broadcast(msg Message) Sent { return g.BroadcastPrepared(Prepare(msg)) }

// BroadcastExcept is Broadcast to all members but the connections with these ids.
func (g Group) BroadcastExcept(msg Message, ids ...string) Sent {
	return g.BroadcastPreparedExcept(Prepare(msg), ids...)
}

// BroadcastFunc is Broadcast to those members for which want returns true; see
// [Manager.BroadcastFunc], also for why it knows no other nodes.
func (g Group) BroadcastFunc(msg Message, want func(*Conn) bool) Sent {
	return g.BroadcastPreparedFunc(Prepare(msg), want)
}

// BroadcastPrepared is Broadcast of a message that is ready.
func (g Group) BroadcastPrepared(p *Prepared) Sent { return g.BroadcastPreparedExcept(p) }

// BroadcastPreparedExcept is BroadcastExcept of a message that is ready.
func (g Group) BroadcastPreparedExcept(p *Prepared, ids ...string) Sent {
	if g.m.bus != nil {
		g.publish(p, ids)
	}
	set := g.set.get(g.name)
	if set == nil {
		return Sent{}
	}
	return g.m.broadcaster.send(&set.queue, p, namesOf(ids))
}

// publish tells the other nodes of a broadcast, if there can be members.
func (g Group) publish(p *Prepared, exceptIDs []string) {
	switch {
	case g.set == &g.m.users && g.name != "":
		g.m.bus.broadcast(envelopeUser, g.name, p, exceptIDs)
	case g.set == &g.m.groups && checkGroupName(g.name) == nil:
		g.m.bus.broadcast(envelopeGroup, g.name, p, exceptIDs)
	}
}

// BroadcastPreparedFunc is BroadcastFunc of a message that is ready.
func (g Group) BroadcastPreparedFunc(p *Prepared, want func(*Conn) bool) Sent {
	set := g.set.get(g.name)
	if set == nil {
		return Sent{}
	}
	return g.m.broadcaster.sendEach(set, p, want)
}

package wsmanager

import (
	"fmt"
	"iter"
	"slices"
)

// MaxGroupName is how many bytes the name of a group may have. Names often come
// from clients.
const MaxGroupName = 256

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
	return g.m.broadcast(&set.queue, p, ids)
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
	return g.m.broadcastFunc(set, p, want)
}

// Join makes the connection a member of the group with the name, of 1 to
// [MaxGroupName] bytes, until it leaves or ends. A second Join does nothing.
//
// It returns ErrClosed once the connection is closing, ErrTooManyGroups beyond
// Options.MaxGroups, and an error that says so for a name that is none.
func (c *Conn) Join(name string) error {
	if err := checkGroupName(name); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.left || c.isClosing():
		return ErrClosed
	case c.membership(name) >= 0:
		return nil
	}
	if c.places == nil {
		c.places = &places{}
	}
	if len(c.places.groups) >= c.m.opts.MaxGroups {
		return ErrTooManyGroups
	}
	c.joinLocked(name)
	return nil
}

// Leave ends the membership in the group with the name, if there is one.
func (c *Conn) Leave(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.membership(name); i >= 0 {
		c.leaveLocked(c.places.groups[i])
		c.places.groups[i].leave()
		c.places.groups = slices.Delete(c.places.groups, i, i+1)
	}
}

// Groups returns the names of the groups that the connection is in, in the order
// in which it joined them.
func (c *Conn) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places == nil {
		return nil
	}
	names := make([]string, len(c.places.groups))
	for i, ship := range c.places.groups {
		names[i] = ship.of.name
	}
	return names
}

// membership finds the membership in the group with the name, -1 if there is
// none.
func (c *Conn) membership(name string) int {
	if c.places == nil {
		return -1
	}
	return slices.IndexFunc(c.places.groups, func(ship *membership) bool { return ship.of.name == name })
}

func checkGroupName(name string) error {
	if n := len(name); n == 0 || n > MaxGroupName {
		return fmt.Errorf("wsmanager: a group's name has %d bytes: 1 to %d are allowed", n, MaxGroupName)
	}
	return nil
}

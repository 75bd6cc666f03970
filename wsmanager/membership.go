package wsmanager

import (
	"fmt"
	"slices"
)

// register adds a connection to the registry, to its groups and to the connections of its
// user.
func (m *Manager) register(c *Conn, a Accept) {
	if c.who.deflate {
		m.broadcaster.compressing.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.registry.add(c)
	if !a.Deferred {
		m.broadcaster.becomeReadyLocked(c, encodingOf(a.Variant, c.who.deflate))
	}
	if c.who.user == "" && len(a.Groups) == 0 {
		return
	}
	c.memberships = &memberships{}
	if c.who.user != "" {
		c.memberships.user = m.users.add(c, c.who.user)
		m.broadcaster.enterLocked(c, c.memberships.user)
	}
	for _, name := range a.Groups {
		if c.memberships.find(name) < 0 {
			m.joinLocked(c, name)
		}
	}
}

// unregister removes a closing connection from the registry, from its groups and from the
// connections of its user. It can't join a group afterwards.
func (m *Manager) unregister(c *Conn) {
	m.registry.remove(c)
	if c.reception.isCarrier() {
		m.carriers.Add(-1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.left = true
	for member := range c.memberships.all() {
		member.leave()
	}
	c.memberships = nil
	if c.who.deflate {
		m.broadcaster.compressing.Add(-1)
	}
}

// joinLocked makes the connection a member of a group.
func (m *Manager) joinLocked(c *Conn, name string) {
	member := m.groups.add(c, name)
	c.memberships.groups = append(c.memberships.groups, member)
	m.broadcaster.enterLocked(c, member)
}

// MaxGroupName is the maximum length of a group's name in bytes. The limit exists because
// names often come from clients.
const MaxGroupName = 256

func checkGroupName(name string) error {
	if n := len(name); n == 0 || n > MaxGroupName {
		return fmt.Errorf("wsmanager: a group's name has %d bytes: 1 to %d are allowed", n, MaxGroupName)
	}
	return nil
}

// Join makes the connection a member of the group with the name, of 1 to [MaxGroupName]
// bytes, until it leaves or ends. It does nothing if the connection is a member.
//
// It returns ErrClosed once the connection is closing, ErrTooManyGroups above
// Options.Limits.MaxGroups, and another error for an invalid name.
func (c *Conn) Join(name string) error {
	if err := checkGroupName(name); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.left || c.reception.isClosing():
		return ErrClosed
	case c.memberships.find(name) >= 0:
		return nil
	}
	if c.memberships == nil {
		c.memberships = &memberships{}
	}
	if len(c.memberships.groups) >= c.m.opts.MaxGroups {
		return ErrTooManyGroups
	}
	c.m.joinLocked(c, name)
	return nil
}

// Leave ends the membership in the group with the name. It does nothing if the connection is
// not a member. Its errors are those of Join: ErrClosed once the connection is closing, which
// ends all its memberships, and another error for an invalid name.
func (c *Conn) Leave(name string) error {
	if err := checkGroupName(name); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.left || c.reception.isClosing() {
		return ErrClosed
	}
	if i := c.memberships.find(name); i >= 0 {
		c.m.broadcaster.leaveLocked(c, c.memberships.groups[i])
		c.memberships.groups[i].leave()
		c.memberships.groups = slices.Delete(c.memberships.groups, i, i+1)
	}
	return nil
}

// Groups returns the names of the connection's groups, in the order in which it joined
// them.
func (c *Conn) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memberships == nil {
		return nil
	}
	names := make([]string, len(c.memberships.groups))
	for i, m := range c.memberships.groups {
		names[i] = m.of.name
	}
	return names
}

package wsmanager

import "fmt"

// register adds a connection to the registry, to its groups and to the connections of its
// user.
func (m *Manager) register(c *Conn, a Accept) {
	if c.who.deflate {
		m.broadcaster.Compressing(+1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.registry.Add(c.asReceiver())
	if !a.Deferred {
		m.broadcaster.BecomeReady(c.asReceiver(), encodingOf(a.Variant, c.who.deflate))
	}
	if c.who.user != "" {
		m.broadcaster.JoinUser(c.asReceiver(), &m.users, c.who.user)
	}
	for _, name := range a.Groups {
		if !c.reception.InGroup(name) {
			m.broadcaster.Join(c.asReceiver(), &m.groups, name)
		}
	}
}

// unregister removes a closing connection from the registry, from its groups and from the
// connections of its user. It can't join a group afterwards.
func (m *Manager) unregister(c *Conn) {
	m.registry.Remove(c.asReceiver())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.left = true
	c.reception.LeaveAll()
	if c.who.deflate {
		m.broadcaster.Compressing(-1)
	}
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
	case c.life.left || c.reception.IsClosing():
		return ErrClosed
	case c.reception.InGroup(name):
		return nil
	case c.reception.Groups() >= c.m.opts.MaxGroups:
		return ErrTooManyGroups
	}
	c.m.broadcaster.Join(c.asReceiver(), &c.m.groups, name)
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
	if c.life.left || c.reception.IsClosing() {
		return ErrClosed
	}
	c.m.broadcaster.Leave(c.asReceiver(), name)
	return nil
}

// Groups returns the names of the connection's groups, in the order in which it joined
// them.
func (c *Conn) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reception.GroupNames()
}

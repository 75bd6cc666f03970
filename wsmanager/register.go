package wsmanager

import "iter"

// register lets the connection be found: by id, in its groups and by its user.
func (c *Conn) register(a Accept) {
	if c.who.deflate {
		c.m.deflating.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m.registry.add(c)
	if !a.Deferred {
		c.becomeReadyLocked(dialectOf(a.Variant, c.who.deflate))
	}
	if c.who.user == "" && len(a.Groups) == 0 {
		return
	}
	c.places = &places{}
	if c.who.user != "" {
		c.places.user = c.m.users.add(c, c.who.user)
		c.enterLocked(c.places.user)
	}
	for _, name := range a.Groups {
		if c.membership(name) < 0 {
			c.joinLocked(name)
		}
	}
}

// joinLocked makes the connection a member of a group.
func (c *Conn) joinLocked(name string) {
	ship := c.m.groups.add(c, name)
	c.places.groups = append(c.places.groups, ship)
	c.enterLocked(ship)
}

// enterLocked lets broadcasts to a set that the connection has joined reach it. What is
// pending there is not for it.
func (c *Conn) enterLocked(ship *membership) {
	c.places.bits |= ship.of.queue.bit
	if d, ok := c.receives(); ok {
		ship.of.queue.enter(recipient{c, ship}, d)
	}
}

// unregister takes the connection out of the registry, its groups and its user's
// connections, for good. It is closing already.
func (c *Conn) unregister() {
	c.m.registry.remove(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.left = true
	for ship := range c.places.all() {
		ship.leave()
	}
	c.places = nil
	if c.who.deflate {
		c.m.deflating.Add(-1)
	}
}

// places is where a connection is a member. Where it is nil, that is nowhere.
type places struct {
	groups []*membership
	user   *membership // nil without one
	bits   uint64      // in pendingSets, of these and maybe of groups that it has left
}

func (p *places) all() iter.Seq[*membership] {
	return func(yield func(*membership) bool) {
		if p == nil || p.user != nil && !yield(p.user) {
			return
		}
		for _, ship := range p.groups {
			if !yield(ship) {
				return
			}
		}
	}
}

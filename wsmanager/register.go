package wsmanager

import "iter"

// register lets the connection be found: by id, in its groups and by its user.
func (c *Conn) register(a Accept) {
	defer c.m.still()()
	if c.who.deflate {
		c.m.deflating.Add(1)
	}
	if !a.Deferred {
		d := dialectOf(a.Variant, c.who.deflate)
		c.m.registry.lane.speak(d)
		c.dialect.Store(uint32(d) + 1)
	}
	c.m.registry.add(c)
	if c.who.user == "" && len(a.Groups) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.places = &places{}
	if c.who.user != "" {
		c.places.user = c.m.users.add(c, c.who.user)
	}
	for _, name := range a.Groups {
		if c.membership(name) < 0 {
			c.places.groups = append(c.places.groups, c.m.groups.add(c, name))
		}
	}
}

// unregister takes the connection out of the registry, its groups and its user's
// connections, for good. It is closing already.
func (c *Conn) unregister() {
	defer c.m.still()()
	c.m.registry.remove(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
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

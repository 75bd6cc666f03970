package wsmanager

// register lets the connection be found: by id, in its groups and by its user.
func (c *Conn) register(a Accept) {
	if !a.Deferred {
		c.m.registry.lane.speak(a.Variant)
		c.variant.Store(uint32(a.Variant) + 1)
	}
	c.m.registry.add(c)
	c.groupsMu.Lock()
	defer c.groupsMu.Unlock()
	if c.user != "" {
		c.userMember = c.m.users.add(c, c.user)
	}
	for _, name := range a.Groups {
		if c.membership(name) < 0 {
			c.memberships = append(c.memberships, c.m.groups.add(c, name))
		}
	}
}

// unregister takes the connection out of the registry, its groups and its user's
// connections, for good.
func (c *Conn) unregister() {
	c.m.registry.remove(c)
	c.groupsMu.Lock()
	defer c.groupsMu.Unlock()
	c.left = true
	if c.userMember != nil {
		c.userMember.leave()
	}
	for _, ship := range c.memberships {
		ship.leave()
	}
	c.userMember, c.memberships = nil, nil
}

package hub

// Join makes a connection a member of a group, until it leaves or ends; a second time
// does nothing. Names are those of wsmanager's groups: 1 to 256 bytes, case matters. It
// returns ErrNoConnection if there is no connection with the id, and errors of
// wsmanager's Conn.Join.
func (h *Hub) Join(id, group string) error {
	c := h.find(id)
	if c == nil {
		return ErrNoConnection
	}
	return c.join(group)
}

// Leave ends the membership of a connection in a group, if there is one.
func (h *Hub) Leave(id, group string) {
	if c := h.find(id); c != nil {
		c.leave(group)
	}
}

func (c *conn) join(group string) error {
	if c.ticket != nil && c.ticket.stateful {
		return c.hub.kept.join(c, group)
	}
	return sendFailed(c.socket.Load().Join(group))
}

func (c *conn) leave(group string) {
	if c.ticket != nil && c.ticket.stateful {
		c.hub.kept.leave(c, group)
		return
	}
	c.socket.Load().Leave(group)
}

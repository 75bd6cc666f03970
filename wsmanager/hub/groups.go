package hub

import "github.com/speakingtube/speakingtube/wsmanager"

// Join adds a connection to a group until it leaves or ends. It does nothing if the connection is already a member. The
// name has 1 to 256 bytes, and its case matters. Join returns ErrNoConnection if there is no connection with this id, an
// [Error] for another name, which the caller of a method may read, and errors of wsmanager's Conn.Join.
func (h *Hub) Join(id, group string) error {
	c := h.find(id)
	if c == nil {
		return ErrNoConnection
	}
	return c.join(group)
}

// Leave removes a connection from a group. It does nothing if the connection is not a member.
func (h *Hub) Leave(id, group string) {
	if c := h.find(id); c != nil {
		c.leave(group)
	}
}

func (c *conn) join(group string) error {
	if n := len(group); n == 0 || n > wsmanager.MaxGroupName {
		return Errorf("A group's name has 1 to %d bytes.", wsmanager.MaxGroupName)
	}
	return c.member().Join(group)
}

func (c *conn) leave(group string) {
	_ = c.member().Leave(group) // the name is empty or too long for any group, or the memberships end with the connection
}

// member is the connection in the Manager's audiences. It exists from the handshake on.
func (c *conn) member() *wsmanager.Conn {
	if c.session.sink != nil {
		return c.session.sink
	}
	return c.socket
}

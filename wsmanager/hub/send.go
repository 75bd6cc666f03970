package hub

import (
	"context"
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// post sends a record that counts, without waiting. data is not changed any more.
func (c *conn) post(data []byte) error {
	if c.replay != nil {
		return c.replay.post(data)
	}
	c.touch()
	return sendFailed(c.socket.Load().Send(c.frame(data)))
}

// write sends a record that counts, and waits until there is room for it.
func (c *conn) write(ctx context.Context, data []byte) error {
	if c.replay != nil {
		return c.replay.write(ctx, data)
	}
	c.touch()
	return sendFailed(c.socket.Load().SendContext(ctx, c.frame(data)))
}

// reply is write of a message.
func (c *conn) reply(ctx context.Context, m Message) error {
	data, err := c.protocol.Append(nil, m)
	if err != nil {
		return err
	}
	return c.write(ctx, data)
}

// control sends a message that does not count.
func (c *conn) control(m Message) error {
	data, err := c.protocol.Append(nil, m)
	if err != nil {
		return err
	}
	if c.replay != nil {
		return c.replay.control(data)
	}
	c.touch()
	return sendFailed(c.socket.Load().Send(c.frame(data)))
}

func (c *conn) frame(data []byte) wsmanager.Message {
	return wsmanager.Message{Type: c.protocol.MessageType(), Payload: data}
}

func (c *conn) touch() { c.lastSent.Store(int64(c.hub.now())) }

// sendFailed names a closed connection as the hub does.
func sendFailed(err error) error {
	if errors.Is(err, wsmanager.ErrClosed) {
		return ErrClosed
	}
	return err
}

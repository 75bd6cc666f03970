package wsmanager

import "github.com/gobwas/ws"

// Sent says what became of a broadcast.
type Sent struct {
	Queued  int // connections it was written to or queued for
	Dropped int // connections it could not be queued for; they are being closed
}

// Broadcast sends a message to all connections that are registered when it begins
// and not closing. Nobody who connects after the first of them has got it gets it.
// It never blocks: a connection that reads too slowly loses it, and is closed
// with 1013, without any effect on the others. The frame is made once. Two
// broadcasts of one goroutine arrive in their order, also with its direct sends
// in between; broadcasts of different goroutines may arrive in different orders
// at different connections.
//
// A message that can't be sent (neither text nor binary, or bigger than
// Options.OutboxBytes) is dropped for all.
func (m *Manager) Broadcast(msg Message) Sent {
	var sent Sent
	if err := m.checkMessage(msg); err != nil {
		sent.Dropped = m.Len()
		m.logger().Error("a broadcast can't be sent", "err", err, "type", msg.Type.String(), "bytes", len(msg.Payload))
		return sent
	}
	frame := appendFrame(make([]byte, 0, frameSize(len(msg.Payload))), ws.OpCode(msg.Type), msg.Payload)
	for c := range m.registry.all() {
		switch c.send(frame, true) {
		case nil:
			sent.Queued++
		case ErrOutboxFull:
			sent.Dropped++
		}
	}
	return sent
}

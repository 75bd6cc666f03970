package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"

// broadcastConn is a Conn as broadcasts see it.
type broadcastConn Conn

// asReceiver returns the connection as broadcasts see it.
func (c *Conn) asReceiver() *broadcastConn { return (*broadcastConn)(c) }

func (b *broadcastConn) conn() *Conn { return (*Conn)(b) }

// RegistryLink implements registry.Element.
func (b *broadcastConn) RegistryLink() (id string, next **broadcastConn) { return b.id, &b.next }

// RegistryFind implements registry.Element.
func (b *broadcastConn) RegistryFind(id string) *broadcastConn {
	for b != nil && b.id != id {
		b = b.next
	}
	return b
}

// Lock implements broadcast.Conn.
func (b *broadcastConn) Lock() { b.mu.Lock() }

// Unlock implements broadcast.Conn.
func (b *broadcastConn) Unlock() { b.mu.Unlock() }

// UnlockAndYield implements broadcast.Conn.
func (b *broadcastConn) UnlockAndYield() {
	crowded := b.out.crowded()
	b.mu.Unlock()
	if crowded {
		yieldToWriter()
	}
}

// Reception implements broadcast.Conn.
func (b *broadcastConn) Reception() *broadcast.Reception[*broadcastConn] { return &b.reception }

// Send implements broadcast.Conn. A client masks a copy of the frame.
func (b *broadcastConn) Send(frame []byte) broadcast.Outcome {
	keys := b.m.keys
	if keys == nil {
		return outcomeOf(b.out.send((*session)(b), frame, true))
	}
	buf := getFrame()
	defer putFrame(buf)
	*buf = keys.Mask(append(*buf, frame...), 0)
	return outcomeOf(b.out.send((*session)(b), *buf, false))
}

// WriteFrames implements broadcast.Conn.
func (b *broadcastConn) WriteFrames(joined []byte, frames [][]byte) (sent int) {
	if b.life.state != stateOpen || !b.out.mayWrite() {
		return 0
	}
	n, _ := b.out.tryWrite((*session)(b), joined) // an error has changed life.state
	for sent < len(frames) && n >= len(frames[sent]) {
		n -= len(frames[sent])
		sent++
	}
	b.out.traffic().MessagesOut.Add(uint64(sent))
	if n > 0 && b.life.state == stateOpen {
		b.out.push((*session)(b), frames[sent], n, true)
		sent++
	}
	return sent
}

// Enqueue implements broadcast.Conn.
func (b *broadcastConn) Enqueue(frame []byte) broadcast.Outcome {
	if b.life.state != stateOpen {
		return broadcast.Closed
	}
	return outcomeOf(b.out.enqueue((*session)(b), frame, true))
}

// outcomeOf returns the outcome of a send with one of the sender's errors.
func outcomeOf(err error) broadcast.Outcome {
	switch err {
	case nil:
		return broadcast.Queued
	case ErrClosed:
		return broadcast.Closed
	}
	return broadcast.Dropped
}

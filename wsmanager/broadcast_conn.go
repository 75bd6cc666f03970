package wsmanager

import (
	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

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
	crowded := b.out.Crowded()
	b.mu.Unlock()
	if crowded {
		sender.YieldToWriter()
	}
}

// Reception implements broadcast.Conn.
func (b *broadcastConn) Reception() *broadcast.Reception[*broadcastConn] { return &b.reception }

// Send implements broadcast.Conn. A client masks a copy of the frame.
func (b *broadcastConn) Send(shared []byte) broadcast.Outcome {
	keys := b.m.keys
	if keys == nil {
		return outcomeOf(b.out.Send((*session)(b), shared, true))
	}
	buf := frame.GetBuffer()
	defer frame.PutBuffer(buf)
	*buf = keys.Mask(append(*buf, shared...), 0)
	return outcomeOf(b.out.Send((*session)(b), *buf, false))
}

// WriteFrames implements broadcast.Conn.
func (b *broadcastConn) WriteFrames(joined []byte, frames [][]byte) (sent int) {
	return b.out.SendJoined((*session)(b), joined, frames)
}

// Enqueue implements broadcast.Conn.
func (b *broadcastConn) Enqueue(shared []byte) broadcast.Outcome {
	return outcomeOf(b.out.Enqueue((*session)(b), shared))
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

package hub

import (
	"context"
	"slices"
	"sync"
)

// sendGate bounds the memory of encoded messages that wait until a client reads. A connection may have many calls at a
// time, and each may produce a large message, so that a few bytes of the client would make the server hold many megabytes.
//
// A message is encoded at once. If too much waits already, its bytes are dropped; it is encoded again when it is its turn.
// So messages that do not wait cost nothing more, and no lock is held while the application's types encode themselves.
type sendGate struct {
	limit int // bytes; a message that is alone may be larger

	mu      sync.Mutex // guards all fields below
	used    int
	waiting []chan struct{} // the messages that were dropped, in order; closed when it is a message's turn
	turn    bool            // the message whose turn it is has not been encoded again
}

// outgoing is a message to encode.
type outgoing interface {
	encode(p Protocol) ([]byte, error)
}

// encodingError is an error of outgoing.encode, or ErrMessageTooBig.
type encodingError struct{ err error }

func (e *encodingError) Error() string { return e.err.Error() }
func (e *encodingError) Unwrap() error { return e.err }

// writeMessage encodes a message and writes it, as soon as there is space. It returns ErrMessageTooBig if the record exceeds
// limit.
func (c *conn) writeMessage(ctx context.Context, m outgoing, limit int) error {
	g, p := &c.sending, c.session.protocol
	record, err := encodeWithin(p, m, limit)
	if err != nil {
		return &encodingError{err}
	}
	size := sentSize(record)
	if !g.enter(size) {
		if err := g.await(ctx); err != nil {
			return err
		}
		record, err = g.encodeInTurn(p, m, limit)
		if err != nil {
			return &encodingError{err}
		}
		size = sentSize(record)
	}
	defer g.leave(size)
	return c.session.write(ctx, record)
}

func encodeWithin(p Protocol, m outgoing, limit int) ([]byte, error) {
	record, err := m.encode(p)
	if err == nil {
		err = checkSize(p, record, limit)
	}
	if err != nil {
		return nil, err
	}
	return record, nil
}

// sentSize is how many bytes of memory a message takes that waits: its record, and its frame.
func sentSize(record []byte) int { return 2*len(record) + 256 }

// enter reports whether a message may wait with its bytes. leave follows then.
func (g *sendGate) enter(size int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.turn || len(g.waiting) > 0 || g.used > 0 && size > g.limit-g.used {
		return false
	}
	g.used += size
	return true
}

// leave is called when a message has been written.
func (g *sendGate) leave(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= size
	g.nextLocked()
}

// await waits for a message's turn. encodeInTurn follows then.
func (g *sendGate) await(ctx context.Context) error {
	turn := make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, turn)
	g.nextLocked()
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	} else {
		g.turn = false
		g.nextLocked()
	}
	return context.Cause(ctx)
}

// encodeInTurn encodes the message whose turn it is, and enters it.
func (g *sendGate) encodeInTurn(p Protocol, m outgoing, limit int) (record []byte, err error) {
	defer func() { // also if m panics
		g.mu.Lock()
		defer g.mu.Unlock()
		if record != nil {
			g.used += sentSize(record)
		}
		g.turn = false
		g.nextLocked()
	}()
	return encodeWithin(p, m, limit)
}

// nextLocked gives the turn to the next message when half of the limit is free.
func (g *sendGate) nextLocked() {
	if g.turn || len(g.waiting) == 0 || g.used > g.limit/2 {
		return
	}
	g.turn = true
	close(g.waiting[0])
	g.waiting[0] = nil
	g.waiting = g.waiting[1:]
}

package wsmanager

import (
	"slices"
	"sync"
	"sync/atomic"
)

// lane is the way to one audience. One goroutine at a time delivers on it;
// broadcasts that come meanwhile wait for it to end its turn and then go together,
// in one write for each receiver. So the work of many senders shrinks as their
// number grows, and since a broadcast returns only when it was delivered, the
// order against direct sends is that of the calls. No network is waited for: a
// turn is writes that don't block. One sender has at most one turn, its own.
type lane struct {
	dialects atomic.Uint32 // that connections of the audience speak or spoke: a dialectSet

	mu      sync.Mutex   // guards what follows
	busy    bool         // somebody delivers
	pending []*broadcast // who wait, in order; the first has the next turn
	spare   []*broadcast // an empty slice for pending
}

// speak notes a dialect among those that broadcasts have to be encoded for.
func (l *lane) speak(d dialect) { l.dialects.Or(1 << d) }

// spoken returns the dialects to encode a broadcast for: none that is compressed if
// all who had agreed on that are gone.
func (l *lane) spoken(m *Manager) dialectSet {
	s := dialectSet(l.dialects.Load())
	if m.deflating.Load() == 0 {
		s &^= compressedDialects
	}
	return s
}

// broadcast is one message on its way to many.
type broadcast struct {
	frames  [dialects][]byte // nil for one that can't be sent
	encoded dialectSet       // those that frames holds; who speaks another came later
	except  []*Conn
	gone    map[*Conn]struct{} // closing when the broadcast was held
	sent    Sent
	alone   [1]*broadcast // a turn of its own
	held    bool          // its caller has been told that it is queued, and has gone
	turn    chan bool     // of the first that somebody waits for; true: deliver what is pending; false: it was delivered
}

var broadcasts = sync.Pool{New: func() any { return new(broadcast) }}

// release gives b back.
func (b *broadcast) release() {
	*b = broadcast{} // no channel either: in a synctest bubble it belongs to the bubble
	broadcasts.Put(b)
}

// run delivers the broadcasts in one turn, together with others if there are.
func (l *lane) run(m *Manager, to audience, turn []*broadcast) {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		m.deliver(to, turn)
		l.mu.Lock()
		l.passOnLocked()
		l.mu.Unlock()
		return
	}
	first := turn[0]
	first.turn = make(chan bool, 1)
	l.pending = append(l.pending, turn...)
	l.mu.Unlock()
	if lead := <-first.turn; !lead {
		return
	}
	l.mu.Lock()
	all := l.pending
	l.pending, l.spare = l.spare, nil
	l.mu.Unlock()
	m.deliver(to, all)
	// Who is told gives back all that it had in the turn: of these only the first
	// has a channel, so the way back touches none that is gone.
	for _, other := range slices.Backward(all[1:]) {
		if other.turn != nil {
			other.turn <- false
		}
	}
	l.mu.Lock()
	clear(all)
	l.spare = all[:0]
	l.passOnLocked()
	l.mu.Unlock()
}

// passOnLocked gives the turn to the next.
func (l *lane) passOnLocked() {
	if len(l.pending) == 0 {
		l.busy = false
		return
	}
	l.pending[0].turn <- true
}

// deliverOne sends a broadcast to all who are in the audience now.
func (m *Manager) deliverOne(to audience, b *broadcast) {
	buf := snapshot(to)
	defer putSnapshot(buf)
	for _, c := range *buf {
		if d, ok := c.speaks(); ok {
			b.deliverTo(c, d)
		}
	}
}

// deliver sends the broadcasts of a turn to all who are in the audience now.
func (m *Manager) deliver(to audience, turn []*broadcast) {
	if len(turn) == 1 {
		m.deliverOne(to, turn[0])
		return
	}
	if m.keys != nil { // a client masks each frame by itself
		for _, b := range turn {
			m.deliverOne(to, b)
		}
		return
	}
	buf := snapshot(to)
	defer putSnapshot(buf)
	j := joined{turn: turn}
	defer j.release()
	for _, c := range *buf {
		d, ok := c.speaks()
		if !ok {
			continue
		}
		if data, frames := j.dialect(d); data != nil && !j.excepts(c) {
			c.sendJoined(data, frames, turn)
			continue
		}
		for _, b := range turn {
			b.deliverTo(c, d)
		}
	}
}

func (b *broadcast) deliverTo(c *Conn, d dialect) {
	if !b.encoded.has(d) || b.excepts(c) {
		return
	}
	frame := b.frames[d]
	if frame == nil {
		b.sent.Dropped++
		c.m.stats.drop(dropUnsendable, 1)
		return
	}
	b.result(c, c.send(frame, true))
}

// excepts reports whether c does not get the broadcast, whoever else does.
func (b *broadcast) excepts(c *Conn) bool {
	_, gone := b.gone[c]
	return gone || slices.Contains(b.except, c)
}

// result notes what became of a broadcast for one connection.
func (b *broadcast) result(c *Conn, err error) {
	b.sent.count(err)
	if err == ErrClosed && b.held {
		c.m.stats.drop(dropClosed, 1)
	}
}

// joined is the frames of a turn, one behind the other, for each dialect that
// somebody turns out to speak.
type joined struct {
	turn []*broadcast
	each [dialects]struct {
		made   bool
		data   *[]byte // nil if they can't be joined
		frames [][]byte
	}
}

// maxJoined is up to how many bytes frames are joined. Above it the writes are
// not what costs.
const maxJoined = 128 << 10

// dialect returns the frames for d, nil if they have to be sent one by one.
func (j *joined) dialect(d dialect) (data []byte, frames [][]byte) {
	e := &j.each[d]
	if !e.made {
		e.made = true
		size := 0
		for _, b := range j.turn {
			size += len(b.frames[d])
			e.frames = append(e.frames, b.frames[d])
		}
		whole := !slices.ContainsFunc(e.frames, func(f []byte) bool { return f == nil })
		if whole && size <= maxJoined {
			e.data = frameBuffers.Get().(*[]byte)
			*e.data = (*e.data)[:0]
			for _, f := range e.frames {
				*e.data = append(*e.data, f...)
			}
		}
	}
	if e.data == nil {
		return nil, nil
	}
	return *e.data, e.frames
}

func (j *joined) excepts(c *Conn) bool {
	return slices.ContainsFunc(j.turn, func(b *broadcast) bool { return b.excepts(c) })
}

func (j *joined) release() {
	for i := range j.each {
		if buf := j.each[i].data; buf != nil {
			putFrame(buf)
		}
	}
}

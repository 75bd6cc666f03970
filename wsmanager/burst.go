package wsmanager

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// bursts joins the broadcasts that callbacks make while the next messages of their
// peer are at hand already: they are held back until the last of these was
// handled, and leave together, in one write for each receiver. It holds broadcasts
// of one lane at a time. Whoever does anything else whose order against them could
// be seen lets them go first, by settle.
type bursts struct {
	wanted  atomic.Bool   // somebody broadcasts here
	running atomic.Uint64 // callbacks with further messages at hand; an epoch above
	held    atomic.Int32  // broadcasts that are held, or being let go

	mu    sync.Mutex // guards what follows; comes before all other locks, and is held while the broadcasts are let go
	lane  *lane
	to    audience
	turn  []*broadcast
	bytes int
	timer *time.Timer
}

const (
	// maxHold is how long a broadcast is held back if a callback takes its time.
	maxHold = time.Millisecond

	// maxHeld is how many are.
	maxHeld = 64
)

// enter notes that a callback with further messages at hand begins, leave that it
// has returned.
func (d *bursts) enter() (epoch uint64) { return d.running.Add(1) >> 32 }

func (d *bursts) leave(epoch uint64) {
	for {
		v := d.running.Load()
		if v>>32 != epoch || d.running.CompareAndSwap(v, v-1) {
			return
		}
	}
}

// tooLate is called when broadcasts were held for maxHold. The callbacks that run
// now are none to wait for, not the next time either.
func (m *Manager) tooLate() {
	d := &m.bursts
	for {
		v := d.running.Load()
		if d.running.CompareAndSwap(v, (v>>32+1)<<32) {
			break
		}
	}
	m.settle()
}

// hold takes a broadcast over if it has to wait for others, and says how many
// connections it is queued for.
func (m *Manager) hold(l *lane, to audience, b *broadcast) (Sent, bool) {
	d := &m.bursts
	if uint32(d.running.Load()) == 0 {
		return Sent{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lane != l {
		d.letGo(m)
		d.lane, d.to = l, to
		if d.timer == nil {
			d.timer = time.AfterFunc(maxHold, m.tooLate)
		} else {
			d.timer.Reset(maxHold)
		}
	}
	sent := m.count(to, b)
	b.held = true
	d.turn = append(d.turn, b)
	d.held.Add(1)
	for _, frame := range b.frames {
		d.bytes += len(frame)
	}
	if len(d.turn) >= maxHeld || d.bytes > maxJoined {
		d.letGo(m)
	}
	return sent, true
}

// join lets go what is held, together with b if that is for the same.
func (m *Manager) join(l *lane, to audience, b *broadcast) (joined bool) {
	d := &m.bursts
	if d.held.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lane == l {
		d.turn = append(d.turn, b)
		d.held.Add(1)
		joined = true
	}
	d.letGo(m)
	return joined
}

// settle lets go what is held, and returns when that was delivered, by whomever.
func (m *Manager) settle() {
	d := &m.bursts
	if d.held.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.letGo(m)
}

// still lets go what is held, and keeps more from being held until unlock is called:
// for changes of who is where. A broadcast that is held goes to those who were there
// when it was made.
func (m *Manager) still() (unlock func()) {
	m.bursts.mu.Lock()
	m.bursts.letGo(m)
	return m.bursts.mu.Unlock
}

// letGo is called under mu.
func (d *bursts) letGo(m *Manager) {
	if d.lane == nil {
		return
	}
	d.timer.Stop()
	d.lane.run(m, d.to, d.turn)
	d.held.Add(-int32(len(d.turn)))
	for _, b := range d.turn {
		if b.held {
			b.release()
		}
	}
	clear(d.turn)
	d.lane, d.to, d.turn, d.bytes = nil, nil, d.turn[:0], 0
}

// count says how many connections a broadcast is for. Nobody comes to them before
// it is let go; those that go are excepted or counted as dropped.
func (m *Manager) count(to audience, b *broadcast) (sent Sent) {
	buf := snapshot(to)
	defer putSnapshot(buf)
	for _, c := range *buf {
		d, ok := c.speaks()
		switch {
		case !ok, !b.encoded.has(d), slices.Contains(b.except, c):
		case c.closing.Load():
			if b.gone == nil {
				b.gone = make(map[*Conn]struct{})
			}
			b.gone[c] = struct{}{} // those that close later count as dropped
		case b.frames[d] == nil:
			sent.Dropped++
		default:
			sent.Queued++
		}
	}
	return sent
}

package wsmanager

import (
	"sync"
	"time"
)

// watch finds callbacks that do not return soon. It has the connections that have called one
// recently, and looks at them at each interval. A callback that it sees twice has run for at
// least one interval and at most two. So an active connection costs one entry in an
// interval, not one for each message; an idle one costs nothing; and a Manager without
// messages has no timer.
type watch struct {
	interval time.Duration

	mu    sync.Mutex // guards the fields below; comes after the lock of a connection
	conns []watched
	spare []watched // the other array of conns, empty
	armed bool      // the timer is set
}

// watched is a connection, and the value of dispatcher.calling at the last look; 0 before
// the first one.
type watched struct {
	c       *Conn
	calling uint32
}

// watchInterval makes a ping wait for half a second at most if a callback does not return.
const watchInterval = 250 * time.Millisecond

// maxSpareWatched bounds the memory that a busy time leaves behind.
const maxSpareWatched = 4096

// add is called when a callback of c begins, unless c is in already.
func (w *watch) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, watched{c: c})
	w.armLocked(c.m)
}

func (w *watch) armLocked(m *Manager) {
	if !w.armed && len(w.conns) > 0 {
		w.armed = true
		m.wheel.Clock().AfterFunc(w.interval, func() { w.look(m) })
	}
}

// look looks at the connections, and keeps those that have called something since the last
// look.
func (w *watch) look(m *Manager) {
	w.mu.Lock()
	conns := w.conns
	w.conns, w.spare = w.spare, nil
	w.mu.Unlock()

	kept := conns[:0]
	for _, e := range conns {
		if calling := e.c.in.dispatch.look((*callbackHost)(e.c), e.calling); calling&callWatched != 0 {
			kept = append(kept, watched{e.c, calling})
		}
	}
	clear(conns[len(kept):])

	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, kept...)
	clear(kept)
	if cap(conns) <= maxSpareWatched {
		w.spare = conns[:0]
	}
	w.armed = false
	w.armLocked(m)
}

// look takes over from a callback that already ran at the last look, when calling was
// before. It returns calling, without callWatched if there is nothing to watch.
func (d *dispatcher) look(h dispatchHost, before uint32) uint32 {
	v := d.calling.Load()
	if v == before && v&(callRuns|callTaken) == callRuns {
		d.takeOver(h, v)
		v = d.calling.Load()
	}
	if v&(callRuns|callTaken) != callRuns && d.calling.CompareAndSwap(v, v&^callWatched) {
		v &^= callWatched
	}
	return v
}

// takeOverNow takes over from a callback if one runs. It reports false if that is not possible
// yet.
func (d *dispatcher) takeOverNow(h dispatchHost) bool {
	v := d.calling.Load()
	if v&(callRuns|callTaken) != callRuns || d.takeOver(h, v) {
		return true
	}
	// look may have seen the takeover before it was undone, and have stopped to watch the callback.
	if d.calling.Or(callWatched)&callWatched == 0 {
		h.watch()
	}
	return false
}

package wsmanager

import (
	"sync"
	"time"
)

// watch finds the callbacks that take their time. It holds the connections that have
// called one lately, and looks at them every few hundred milliseconds: a callback that it
// sees twice has run for a whole interval at least, and for two at most. So an active
// connection costs one entry in an interval, not one for each message, an idle one
// nothing, and a Manager without messages has no timer.
type watch struct {
	every time.Duration // between two looks

	mu    sync.Mutex // guards what follows; comes after Conn.mu
	conns []watched
	spare []watched // the other array of conns, empty
	armed bool
}

// watched is a connection, and Conn.calling as of the last look; 0 before the first.
type watched struct {
	c       *Conn
	calling uint32
}

// watchInterval makes a ping that a callback keeps from being read wait for half a second
// at most.
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
		m.wheel.Clock().AfterFunc(w.every, m.watchCallbacks)
	}
}

// watchCallbacks looks at the connections that are watched, and keeps those that have
// called something since the last look.
func (m *Manager) watchCallbacks() {
	w := &m.watch
	w.mu.Lock()
	conns := w.conns
	w.conns, w.spare = w.spare, nil
	w.mu.Unlock()

	kept := conns[:0]
	for _, e := range conns {
		if calling := e.c.look(e.calling); calling&callWatched != 0 {
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

// look takes over from a callback that was running at the last look already. It returns
// Conn.calling, without callWatched if there is nothing to watch.
func (c *Conn) look(before uint32) uint32 {
	v := c.calling.Load()
	if v == before && v&(callRuns|callTaken) == callRuns {
		c.takeOver(v)
		v = c.calling.Load()
	}
	if v&(callRuns|callTaken) != callRuns && c.calling.CompareAndSwap(v, v&^callWatched) {
		v &^= callWatched
	}
	return v
}

package wsmanager

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock is where a wheel gets its time from. Tests bring one that they step.
type clock interface {
	now() time.Time
	// afterFunc calls f in its own goroutine after d, unless it is stopped.
	afterFunc(d time.Duration, f func()) (stop func() bool)
}

type systemClock struct{}

func (systemClock) now() time.Time { return time.Now() }
func (systemClock) afterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// wheel is the one timer of a Manager. Each connection has at most one entry, in
// the slot of its next due time; a time beyond the wheel's turn waits in the last
// slot and is looked at again. No connection costs a timer or a goroutine. The
// timer runs only while there are entries.
type wheel struct {
	clock clock
	tick  time.Duration
	zero  time.Time // of tick 0

	current atomic.Int64 // the last tick that was handled, or a later reading of the clock

	mu    sync.Mutex // guards what follows, and every Conn.wheel
	slots [wheelSlots]*Conn
	count int
	done  int64 // the last tick whose slot was emptied
	armed bool
	stop  func() bool
}

const wheelSlots = 128 // fits Conn.slot

// wheelEntry links a connection into its slot.
type wheelEntry struct {
	at         int64 // the tick
	prev, next *Conn
}

// init sets the wheel up for time-outs of which shortest is the shortest: a tick
// is an eighth of it, between 5 ms and 1 s.
func (w *wheel) init(c clock, shortest time.Duration) {
	w.clock = c
	w.tick = min(max(shortest/8, 5*time.Millisecond), time.Second)
	w.zero = c.now()
}

// ticks is d in ticks, rounded up.
func (w *wheel) ticks(d time.Duration) int64 { return int64((d-1)/w.tick) + 1 }

// tickOf is the tick of a reading of elapsed.
func (w *wheel) tickOf(elapsed time.Duration) int64 { return int64(elapsed / w.tick) }

// now reads the clock, in ticks.
func (w *wheel) now() int64 {
	t := int64(w.clock.now().Sub(w.zero) / w.tick)
	w.current.Store(t)
	return t
}

// elapsed is how long the wheel is there.
func (w *wheel) elapsed() time.Duration { return w.clock.now().Sub(w.zero) }

// coarse is the time as of the last tick: good to a tick while any connection is
// in the wheel, and free.
func (w *wheel) coarse() int64 { return w.current.Load() }

// after is the tick at which d will have passed.
func (w *wheel) after(d time.Duration) int64 { return w.now() + w.ticks(d) + 1 }

// schedule moves c to the slot of tick at.
func (w *wheel) schedule(c *Conn, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.slot != 0 && c.wheel.at == at {
		return
	}
	w.unlink(c)
	if w.count == 0 {
		w.done = w.now() // no turn of the wheel was missed
	}
	c.wheel.at = at
	at = min(max(at, w.done+1), w.done+wheelSlots-1)
	slot := int(at % wheelSlots)
	head := w.slots[slot]
	c.slot, c.wheel.next = uint8(slot+1), head
	if head != nil {
		head.wheel.prev = c
	}
	w.slots[slot] = c
	w.count++
	w.arm()
}

// remove takes c out.
func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(c)
	if w.count == 0 && w.armed && w.stop() {
		w.armed = false
	}
}

func (w *wheel) unlink(c *Conn) {
	e := &c.wheel
	if c.slot == 0 {
		return
	}
	if e.prev != nil {
		e.prev.wheel.next = e.next
	} else {
		w.slots[c.slot-1] = e.next
	}
	if e.next != nil {
		e.next.wheel.prev = e.prev
	}
	c.slot, *e = 0, wheelEntry{}
	w.count--
}

func (w *wheel) arm() {
	if !w.armed && w.count > 0 {
		w.armed = true
		w.stop = w.clock.afterFunc(w.tick, w.turn)
	}
}

// turn handles the slots whose time has come, and arms the timer again.
func (w *wheel) turn() {
	now := w.now()
	var ripe []*Conn
	w.mu.Lock()
	for n := 0; w.done < now && n < wheelSlots; n++ {
		w.done++
		for c := w.slots[w.done%wheelSlots]; c != nil; {
			next := c.wheel.next
			ripe = append(ripe, c)
			w.unlink(c)
			c = next
		}
	}
	w.done = max(w.done, now)
	w.mu.Unlock()

	for _, c := range ripe {
		c.due(now) // schedules itself again
	}
	w.mu.Lock()
	w.armed = false
	w.arm()
	w.mu.Unlock()
}

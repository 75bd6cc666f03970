package timewheel

import (
	"sync"
	"time"
)

// Element is a pointer to a value that contains an Entry.
type Element[T any] interface {
	comparable

	// WheelEntry returns the entry, the same one at each call.
	WheelEntry() *Entry[T]

	// Due is called at the tick for which the element was scheduled, or earlier if that was
	// more than a turn ahead. The element is not in the wheel then, and may schedule itself
	// again. Other elements wait until it returns.
	Due(now int64)
}

// Entry links an element into a slot. The zero Entry is in no wheel.
type Entry[T any] struct {
	at   int64 // the tick for which it was scheduled
	next T     // the next element of the slot
	link *T    // the variable that points to this element: the slot, or another entry's next; nil while it is in no wheel
}

// slots is the number of slots of a wheel: one turn.
const slots = 128

// Wheel calls elements at their time. It must be set up with Init. All other methods are
// safe for concurrent use.
type Wheel[T Element[T]] struct {
	Ticker

	mu    sync.Mutex // guards the fields below, and the entries
	slots [slots]T
	count int
	done  int64       // the last tick whose slot was emptied
	armed bool        // a call of turn is due, or runs
	stop  func() bool // of that call
}

// Init sets the wheel up for time-outs of which shortest is the shortest: a tick is an
// eighth of it, between 5 ms and 1 s.
func (w *Wheel[T]) Init(c Clock, shortest time.Duration) {
	w.clock = c
	w.tick = min(max(shortest/8, 5*time.Millisecond), time.Second)
	w.zero = c.Now()
}

// Len returns the number of elements.
func (w *Wheel[T]) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// Schedule sets the due time of x to a tick.
func (w *Wheel[T]) Schedule(x T, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := x.WheelEntry()
	if e.link != nil && e.at == at {
		return
	}
	w.unlink(e)
	if w.count == 0 {
		w.done = w.Now() // without elements there was nothing to do at earlier ticks
	}
	slot := &w.slots[min(max(at, w.done+1), w.done+slots-1)%slots]
	*e = Entry[T]{at, *slot, slot}
	w.relink(e)
	*slot = x
	w.count++
	w.arm()
}

// Remove takes x out of the wheel, if it is in.
func (w *Wheel[T]) Remove(x T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(x.WheelEntry())
	if w.count == 0 && w.armed && w.stop() {
		w.armed = false
	}
}

// relink makes the entry after e refer to it.
func (w *Wheel[T]) relink(e *Entry[T]) {
	var none T
	if e.next != none {
		e.next.WheelEntry().link = &e.next
	}
}

func (w *Wheel[T]) unlink(e *Entry[T]) {
	if e.link == nil {
		return
	}
	var none T
	*e.link = e.next
	if e.next != none {
		e.next.WheelEntry().link = e.link
	}
	*e = Entry[T]{}
	w.count--
}

// arm starts the timer if there are elements.
func (w *Wheel[T]) arm() {
	if !w.armed && w.count > 0 {
		w.armed = true
		w.stop = w.clock.AfterFunc(w.tick, w.turn)
	}
}

// turn calls the elements that are due, and starts the timer again.
func (w *Wheel[T]) turn() {
	now := w.Now()
	due := w.takeDue(now)
	for _, x := range due {
		x.Due(now)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	w.arm()
}

// takeDue empties the slots up to now, at most one turn.
func (w *Wheel[T]) takeDue(now int64) (due []T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var none T
	for n := 0; w.done < now && n < slots; n++ {
		w.done++
		slot := &w.slots[w.done%slots]
		for *slot != none {
			due = append(due, *slot)
			w.unlink((*slot).WheelEntry())
		}
	}
	w.done = max(w.done, now)
	return due
}

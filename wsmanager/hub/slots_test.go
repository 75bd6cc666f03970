package hub

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// slotQueue is a slotOwner with a queue of calls.
type slotQueue struct {
	mu      sync.Mutex
	slots   slots
	queue   []*slotHolder
	closing bool
}

func newSlotQueue(limit int) *slotQueue {
	q := &slotQueue{}
	q.slots = slots{owner: q, changed: &signal{mu: &q.mu}, limit: int32(limit)}
	return q
}

func (q *slotQueue) closingLocked() bool { return q.closing }

func (q *slotQueue) startCallsLocked() {
	for len(q.queue) > 0 && q.slots.tryAcquireLocked(q.queue[0]) {
		q.queue = q.queue[1:]
	}
}

func (q *slotQueue) enqueue(calls ...*slotHolder) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, calls...)
	q.startCallsLocked()
}

func (q *slotQueue) end(h *slotHolder) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.slots.endLocked(h)
	q.startCallsLocked()
	q.slots.changed.Broadcast()
}

func (q *slotQueue) holdsSlot(h *slotHolder) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return h.holding
}

// A call that has released its slot gets one back before calls that have not begun.
func TestSlotIsReacquiredBeforeQueuedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSlotQueue(1)
		var first, second, third slotHolder
		q.enqueue(&first, &second, &third)
		require.True(t, q.holdsSlot(&first))
		require.False(t, q.holdsSlot(&second))

		reacquire := q.slots.release(&first)
		require.False(t, q.holdsSlot(&first))
		require.True(t, q.holdsSlot(&second))

		reacquired := make(chan struct{})
		go func() {
			defer close(reacquired)
			reacquire()
			reacquire()
		}()
		synctest.Wait()
		require.False(t, q.holdsSlot(&first), "the second call holds the slot")

		q.end(&second)
		<-reacquired
		require.True(t, q.holdsSlot(&first))
		require.False(t, q.holdsSlot(&third))

		q.end(&first)
		require.True(t, q.holdsSlot(&third))
	})
}

// A call with several goroutines that wait needs its slot when the last of them continues.
func TestSlotIsReacquiredByTheLastGoroutine(t *testing.T) {
	q := newSlotQueue(1)
	var call, other slotHolder
	q.enqueue(&call)
	first, second := q.slots.release(&call), q.slots.release(&call)
	q.enqueue(&other)
	require.True(t, q.holdsSlot(&other))
	first()
	require.False(t, q.holdsSlot(&call))
	q.end(&other)
	second()
	require.True(t, q.holdsSlot(&call))
}

// Exempt calls neither need nor take a slot.
func TestExemptCallsTakeNoSlot(t *testing.T) {
	q := newSlotQueue(1)
	call, stream := slotHolder{}, slotHolder{exempt: true}
	q.enqueue(&stream, &call)
	require.True(t, q.holdsSlot(&call))
	q.slots.release(&stream)()
	require.False(t, q.holdsSlot(&stream))
	q.end(&stream)
	require.EqualValues(t, 1, q.slots.active)
}

// The end of the connection does not leave a call without its slot.
func TestSlotIsReacquiredWhileClosing(t *testing.T) {
	q := newSlotQueue(1)
	var call, other slotHolder
	q.enqueue(&call, &other)
	reacquire := q.slots.release(&call)
	require.True(t, q.holdsSlot(&other))
	q.closing = true
	reacquire()
	require.True(t, q.holdsSlot(&call))
}

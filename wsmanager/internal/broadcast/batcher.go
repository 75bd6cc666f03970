package broadcast

import (
	"sync"
	"sync/atomic"
	"time"
)

// batcher defers broadcasts while callbacks run for a peer that has sent several messages
// at once. The broadcasts of these callbacks are delivered together after the last message,
// at most MaxDefer after the first broadcast.
type batcher[C comparable] struct {
	// running counts, in its low 32 bits, the callbacks that run while more messages of
	// their peer have arrived. The high 32 bits are the epoch.
	running atomic.Uint64

	wanted  atomic.Bool // the application has broadcast, so callbacks are counted
	any     atomic.Bool // queues is not empty
	expired func()      // called some time after the first broadcast was deferred

	mu     sync.Mutex // guards the fields below; held for moments, never during a write
	queues []*Queue[C]
	timer  *time.Timer
}

// MaxDefer is how long a broadcast is deferred at most, except in tests.
const MaxDefer = time.Millisecond

// activate is called for each broadcast. Callbacks are counted from the first broadcast on, so
// that an application without broadcasts does not pay for enter and leave.
func (b *batcher[C]) activate() {
	if !b.wanted.Load() {
		b.wanted.Store(true)
	}
}

// defers reports whether a broadcast is to be deferred.
func (b *batcher[C]) defers() bool { return uint32(b.running.Load()) != 0 }

// enter counts a callback that begins while more messages of its peer have arrived.
func (b *batcher[C]) enter() (epoch uint64) { return b.running.Add(1) >> 32 }

// leave counts the end of a callback, unless the epoch that enter returned has ended.
func (b *batcher[C]) leave(epoch uint64) {
	for {
		v := b.running.Load()
		if v>>32 != epoch || b.running.CompareAndSwap(v, v-1) {
			return
		}
	}
}

// nextEpoch begins an epoch without callbacks: the callbacks that run now defer no more
// broadcasts.
func (b *batcher[C]) nextEpoch() {
	for {
		v := b.running.Load()
		if b.running.CompareAndSwap(v, (v>>32+1)<<32) {
			return
		}
	}
}

// add adds a queue with deferred broadcasts. They are deferred for maxDefer at most.
func (b *batcher[C]) add(q *Queue[C], maxDefer time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queues = append(b.queues, q)
	b.any.Store(true)
	if len(b.queues) > 1 {
		return
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(maxDefer, b.expired)
	} else {
		b.timer.Reset(maxDefer)
	}
}

// take removes and returns the queues with deferred broadcasts.
func (b *batcher[C]) take() []*Queue[C] {
	b.mu.Lock()
	defer b.mu.Unlock()
	queues := b.queues
	b.queues = nil
	b.any.Store(false)
	if len(queues) > 0 {
		b.timer.Stop()
	}
	return queues
}

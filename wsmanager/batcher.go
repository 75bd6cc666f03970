package wsmanager

import (
	"sync"
	"sync/atomic"
	"time"
)

// batcher defers broadcasts while callbacks run for a peer that has sent several messages
// at once. The broadcasts of these callbacks are delivered together after the last message,
// at most maxDefer after the first broadcast.
type batcher struct {
	wanted  atomic.Bool   // the application has broadcast, so callbacks are counted
	running atomic.Uint64 // low 32 bits: callbacks that run while more messages of their peer have arrived; high 32 bits: the epoch
	any     atomic.Bool   // queues is not empty
	expired func()        // called maxDefer after the first broadcast was deferred

	mu     sync.Mutex // guards the fields below; held for moments, never during a write
	queues []*broadcastQueue
	timer  *time.Timer
}

// maxDefer is how long a broadcast is deferred at most.
const maxDefer = time.Millisecond

// activate is called for each broadcast. Callbacks are counted from the first broadcast on, so
// that an application without broadcasts does not pay for enter and leave.
func (b *batcher) activate() {
	if !b.wanted.Load() {
		b.wanted.Store(true)
	}
}

// defers reports whether a broadcast is to be deferred.
func (b *batcher) defers() bool { return uint32(b.running.Load()) != 0 }

// enter counts a callback that begins while more messages of its peer have arrived.
func (b *batcher) enter() (epoch uint64) { return b.running.Add(1) >> 32 }

// leave counts the end of a callback, unless the epoch that enter returned has ended.
func (b *batcher) leave(epoch uint64) {
	for {
		v := b.running.Load()
		if v>>32 != epoch || b.running.CompareAndSwap(v, v-1) {
			return
		}
	}
}

// nextEpoch begins an epoch without callbacks: the callbacks that run now defer no more
// broadcasts.
func (b *batcher) nextEpoch() {
	for {
		v := b.running.Load()
		if b.running.CompareAndSwap(v, (v>>32+1)<<32) {
			return
		}
	}
}

// add adds a queue with deferred broadcasts.
func (b *batcher) add(q *broadcastQueue) {
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
func (b *batcher) take() []*broadcastQueue {
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

package wsmanager

import (
	"sync"
	"sync/atomic"
	"time"
)

// batcher defers broadcasts while callbacks run whose peer's next messages are at hand
// already: what these broadcast leaves together when the last of the messages was
// handled, after maxDefer at the latest.
type batcher struct {
	wanted  atomic.Bool   // the application broadcasts
	running atomic.Uint64 // callbacks with further messages at hand; an epoch above
	any     atomic.Bool   // queues is not empty

	mu     sync.Mutex // guards what follows; held for moments, never during a write
	queues []*broadcastQueue
	timer  *time.Timer
}

// maxDefer is how long a broadcast is deferred if a callback takes its time.
const maxDefer = time.Millisecond

// defers reports whether a broadcast is to be deferred.
func (b *batcher) defers() bool { return uint32(b.running.Load()) != 0 }

// enter notes that a callback with further messages at hand begins, leave that it
// has returned.
func (b *batcher) enter() (epoch uint64) { return b.running.Add(1) >> 32 }

func (b *batcher) leave(epoch uint64) {
	for {
		v := b.running.Load()
		if v>>32 != epoch || b.running.CompareAndSwap(v, v-1) {
			return
		}
	}
}

// add notes that broadcasts of q are deferred.
func (b *batcher) add(m *Manager, q *broadcastQueue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queues = append(b.queues, q)
	b.any.Store(true)
	if len(b.queues) > 1 {
		return
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(maxDefer, m.deferredTooLong)
	} else {
		b.timer.Reset(maxDefer)
	}
}

// take returns the queues that have deferred broadcasts.
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

// deferredTooLong is called when broadcasts were deferred for maxDefer. The callbacks
// that run now defer no more.
func (m *Manager) deferredTooLong() {
	m.active.add() // Shutdown waits for this goroutine of the timer, too
	defer m.active.done()
	b := &m.batcher
	for {
		v := b.running.Load()
		if b.running.CompareAndSwap(v, (v>>32+1)<<32) {
			break
		}
	}
	m.flushBatcher()
}

// flushBatcher delivers what was deferred.
func (m *Manager) flushBatcher() {
	if !m.batcher.any.Load() {
		return
	}
	for _, q := range m.batcher.take() {
		m.flushDeferred(q)
	}
}

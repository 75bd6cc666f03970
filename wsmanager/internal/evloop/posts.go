//go:build linux

package evloop

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// posts is the queue of events that this package, not the kernel, sends to the leader. The
// leader takes them into its batch and serves them like any other event, so the watchdog
// sees which socket each is for. An eventfd wakes a leader that waits.
type posts struct {
	pending atomic.Bool // list is not empty, or stopped is set

	mu      sync.Mutex
	list    []syscall.EpollEvent
	stopped bool
}

// maxPosts is the maximum number of posts in one batch, so that the sockets have room.
const maxPosts = batchSize / 2

func (p *posts) add(wakefd int, ev syscall.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, ev)
	if !p.pending.Swap(true) {
		signal(wakefd)
	}
}

// stop makes the leader end.
func (p *posts) stop(wakefd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.pending.Store(true)
	signal(wakefd)
}

// moveTo moves posts to evs. stopped reports whether the leader has to end.
func (p *posts) moveTo(evs []syscall.EpollEvent) (n int, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = copy(evs, p.list)
	if p.list = p.list[n:]; len(p.list) == 0 {
		p.list = nil
		p.pending.Store(p.stopped)
	}
	return n, p.stopped
}

//go:build linux

package evloop

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// posts are events that are ours and not the kernel's, on their way to the
// leader. It takes them into its batch, where they are served as any other: the
// watchdog sees which socket they are for. An eventfd wakes a leader that waits.
type posts struct {
	attention atomic.Bool // list is not empty, or stopped is set

	mu      sync.Mutex
	list    []syscall.EpollEvent
	stopped bool
}

// maxPosts is how many posts one batch takes, so that the sockets have room.
const maxPosts = batchSize / 2

func (p *posts) add(wakefd int, ev syscall.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, ev)
	if !p.attention.Swap(true) {
		signal(wakefd)
	}
}

// stop ends the leader.
func (p *posts) stop(wakefd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.attention.Store(true)
	signal(wakefd)
}

// take moves posts to evs, and tells whether the leader is to end.
func (p *posts) take(evs []syscall.EpollEvent) (n int, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = copy(evs, p.list)
	if p.list = p.list[n:]; len(p.list) == 0 {
		p.list = nil
		p.attention.Store(p.stopped)
	}
	return n, p.stopped
}

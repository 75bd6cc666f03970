package hub

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// goroutineGroup counts goroutines and waits for their end. Unlike a sync.WaitGroup it can be waited for with a context,
// and goroutines may be added while it is waited for.
type goroutineGroup struct {
	n       atomic.Int64
	waiting atomic.Bool // wait was called

	mu   sync.Mutex    // guards idle
	idle chan struct{} // closed when n becomes 0; nil without waiters
}

// run runs f on a new goroutine.
func (g *goroutineGroup) run(f func()) {
	g.add()
	go func() {
		defer g.done()
		f()
	}()
}

// add counts work on a goroutine that belongs to another owner. done follows.
func (g *goroutineGroup) add() { g.n.Add(1) }

// done decrements n and then reads waiting; wait stores waiting and then reads n. So one of them sees the other's change.
func (g *goroutineGroup) done() {
	if g.n.Add(-1) > 0 || !g.waiting.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// wait waits until no goroutine runs.
func (g *goroutineGroup) wait(ctx context.Context) error {
	g.mu.Lock()
	g.waiting.Store(true)
	if g.n.Load() == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		if n := g.n.Load(); n > 0 {
			return fmt.Errorf("hub: shutdown: %d calls and hooks have not returned: %w", n, context.Cause(ctx))
		}
		return nil
	}
}

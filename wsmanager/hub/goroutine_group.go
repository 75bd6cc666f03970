package hub

import (
	"context"
	"fmt"
	"sync"
)

// goroutineGroup counts goroutines and waits for their end. Unlike a sync.WaitGroup it can be waited for with a context,
// and goroutines may be added while it is waited for.
type goroutineGroup struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n becomes 0; nil without waiters
}

// run runs f on a new goroutine.
func (g *goroutineGroup) run(f func()) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	go func() {
		defer g.done()
		f()
	}()
}

func (g *goroutineGroup) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// wait waits until no goroutine runs.
func (g *goroutineGroup) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.n == 0 {
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
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.n == 0 {
			return nil
		}
		return fmt.Errorf("hub: shutdown: %d calls and hooks have not returned: %w", g.n, context.Cause(ctx))
	}
}

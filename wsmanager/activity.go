package wsmanager

import (
	"context"
	"sync"
)

// activity counts what Shutdown has to wait for: handshakes and connections
// under way, and writer goroutines.
type activity struct {
	mu    sync.Mutex
	count int
	idle  *sync.Cond // count has become 0
}

func (a *activity) add() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
}

func (a *activity) done() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count--
	if a.count == 0 {
		a.idle.Broadcast()
	}
}

// wait reports whether all has ended before ctx did.
func (a *activity) wait(ctx context.Context) bool {
	defer context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.idle.Broadcast()
	})()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.count > 0 && ctx.Err() == nil {
		a.idle.Wait()
	}
	return a.count == 0
}

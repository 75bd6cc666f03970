package wsmanager

import (
	"context"
	"sync"
)

// activity counts the handshakes, connections and writer goroutines for which Shutdown waits.
type activity struct {
	mu    sync.Mutex
	count int
	idle  *sync.Cond // signals that count has become 0
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

// wait waits until the count is 0, and returns false if ctx ends first.
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

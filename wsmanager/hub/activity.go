package hub

import (
	"context"
	"fmt"
	"sync"
)

// activity counts goroutines, for the one who waits for their end. (A
// sync.WaitGroup can't be waited for with a context, nor begin anew meanwhile.)
type activity struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n gets 0; nil while nobody waits
}

// run runs f on a goroutine of its own.
func (a *activity) run(f func()) {
	a.mu.Lock()
	a.n++
	a.mu.Unlock()
	go func() {
		defer a.done()
		f()
	}()
}

func (a *activity) done() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n--; a.n == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// wait waits until nothing runs.
func (a *activity) wait(ctx context.Context) error {
	a.mu.Lock()
	if a.n == 0 {
		a.mu.Unlock()
		return nil
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	idle := a.idle
	a.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.n == 0 {
			return nil
		}
		return fmt.Errorf("hub: shutdown: %d calls and hooks have not returned: %w", a.n, context.Cause(ctx))
	}
}

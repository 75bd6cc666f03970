package activity

import (
	"context"
	"sync"
)

// Counter counts activities. The zero value is ready to use. All methods are safe for
// concurrent use.
type Counter struct {
	mu    sync.Mutex
	count int
	idle  sync.Cond // signals that count has become 0, or that a wait has ended
}

// Add counts an activity that begins.
func (c *Counter) Add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
}

// Done counts an activity that has ended.
func (c *Counter) Done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count--
	if c.count == 0 {
		c.idle.Broadcast()
	}
}

// Wait waits until the count is 0, and returns false if ctx ends first.
func (c *Counter) Wait(ctx context.Context) bool {
	defer context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.idle.Broadcast()
	})()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle.L == nil {
		c.idle.L = &c.mu
	}
	for c.count > 0 && ctx.Err() == nil {
		c.idle.Wait()
	}
	return c.count == 0
}

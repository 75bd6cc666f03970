package lazyctx

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Context behaves like the result of context.WithCancelCause, also for context.Cause and for contexts that are derived from it.
// Init must be called before any other method. All other methods are safe for concurrent use. It must not be copied.
type Context struct {
	parent context.Context
	std    atomic.Pointer[cancelable] // nil until it is needed

	mu    sync.Mutex // guards cause, and the store to std
	cause error      // of Cancel; nil until it is called
}

var _ context.Context = (*Context)(nil)

// cancelable is a context of package context.
type cancelable struct {
	context.Context
	cancel context.CancelCauseFunc
}

// Init sets the parent.
func (c *Context) Init(parent context.Context) { c.parent = parent }

// Cancel ends the context. Only the first call has an effect, and none if the parent has ended before. cause must not be nil.
func (c *Context) Cancel(cause error) {
	c.mu.Lock()
	std := c.std.Load()
	if std == nil && c.cause == nil && c.parent.Err() == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	if std != nil {
		std.cancel(cause)
	}
}

// Cause is context.Cause of the context.
func (c *Context) Cause() error {
	if std := c.std.Load(); std != nil {
		return context.Cause(std)
	}
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if cause == nil && c.parent.Err() != nil {
		return context.Cause(c.parent)
	}
	return cause
}

// Err implements context.Context.
func (c *Context) Err() error {
	if std := c.std.Load(); std != nil {
		return std.Err()
	}
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if cause != nil {
		return context.Canceled
	}
	return c.parent.Err()
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} { return c.standard().Done() }

// Value implements context.Context. Package context asks for its own contexts with keys that it does not export, so each key
// needs the real context.
func (c *Context) Value(key any) any { return c.standard().Value(key) }

// standard makes the real context.
func (c *Context) standard() *cancelable {
	if std := c.std.Load(); std != nil {
		return std
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if std := c.std.Load(); std != nil {
		return std
	}
	parent := c.parent
	if c.cause != nil { // the parent was not canceled then; it may be now, and its cause must not replace the first one
		parent = context.WithoutCancel(parent)
	}
	ctx, cancel := context.WithCancelCause(parent)
	std := &cancelable{ctx, cancel}
	if c.cause != nil {
		cancel(c.cause)
	}
	c.std.Store(std)
	return std
}

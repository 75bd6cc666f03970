package hub

import (
	"context"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Context gives a method or hook access to its caller. It is a context.Context. It ends when the connection ends, when the
// client cancels the call, and when the call has returned. context.Cause tells which: the reason why the connection ended,
// [ErrCanceled] or [ErrReturned]. All methods are safe for concurrent use.
type Context struct {
	context.Context
	c    *conn
	call *call // nil in hooks
}

type contextKey struct{}

// Value returns the Context itself for [FromContext].
func (ctx *Context) Value(key any) any {
	if key == (contextKey{}) {
		return ctx
	}
	return ctx.Context.Value(key)
}

// FromContext returns the Context that ctx is or was derived from, for functions that take a context.Context.
func FromContext(ctx context.Context) (*Context, bool) {
	c, ok := ctx.Value(contextKey{}).(*Context)
	return c, ok
}

// ConnectionID returns the id of the caller's connection. It is an address, not a secret: other clients may know it.
func (ctx *Context) ConnectionID() string { return ctx.c.id }

// User returns Identity.User.
func (ctx *Context) User() string { return identityOf(ctx.c).User }

// Identity returns the result of Options.Authenticate.
func (ctx *Context) Identity() Identity { return identityOf(ctx.c) }

// Items returns a map for the application that lasts as long as the connection.
func (ctx *Context) Items() *sync.Map {
	c := ctx.c
	for {
		if items := c.items.Load(); items != nil {
			return items
		}
		c.items.CompareAndSwap(nil, new(sync.Map))
	}
}

// Hub returns the hub.
func (ctx *Context) Hub() *Hub { return ctx.c.hub }

// Clients returns the clients of the hub, with selections relative to the caller.
func (ctx *Context) Clients() CallerClients {
	return CallerClients{Clients: Clients{ctx.c.hub}, id: ctx.c.id}
}

// Join adds the caller's connection to a group; see [Hub.Join].
func (ctx *Context) Join(group string) error { return ctx.c.join(group) }

// Leave removes the caller's connection from a group.
func (ctx *Context) Leave(group string) { ctx.c.leave(group) }

// Abort ends the caller's connection after all messages that were sent before. The client does not reconnect automatically.
func (ctx *Context) Abort() {
	ctx.c.close(&Close{}, wsmanager.StatusNormalClosure, ErrAborted)
}

package hub

import (
	"context"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Context is what a method or hook knows about its caller. It is a context.Context,
// which ends with the connection, with the client's cancelling of the call, and when
// the call is over; context.Cause says which ([ErrCanceled], [ErrReturned], what ended the
// connection). All methods are safe for concurrent use.
type Context struct {
	context.Context
	c    *conn
	call *call // nil in hooks
}

type contextKey struct{}

// Value finds the Context itself for [FromContext].
func (ctx *Context) Value(key any) any {
	if key == (contextKey{}) {
		return ctx
	}
	return ctx.Context.Value(key)
}

// FromContext returns the Context that ctx is, or was derived from: for functions that
// take a context.Context.
func FromContext(ctx context.Context) (*Context, bool) {
	c, ok := ctx.Value(contextKey{}).(*Context)
	return c, ok
}

// ConnectionID returns the id of the caller's connection: an address that others may
// know, not a secret.
func (ctx *Context) ConnectionID() string { return ctx.c.id }

// User returns Identity.User, "" if there is none.
func (ctx *Context) User() string { return ctx.c.who.User }

// Identity returns what Options.Authenticate said about the caller.
func (ctx *Context) Identity() Identity { return ctx.c.who }

// Items returns the application's own values for this connection, which last as long as
// it.
func (ctx *Context) Items() *sync.Map { return &ctx.c.items }

// Hub returns the hub.
func (ctx *Context) Hub() *Hub { return ctx.c.hub }

// Clients returns whom the hub can send to, as this caller sees them.
func (ctx *Context) Clients() CallerClients {
	return CallerClients{Clients: Clients{ctx.c.hub}, id: ctx.c.id}
}

// Join makes the caller's connection a member of a group; see [Hub.Join].
func (ctx *Context) Join(group string) error { return ctx.c.join(group) }

// Leave ends the membership of the caller's connection in a group.
func (ctx *Context) Leave(group string) { ctx.c.leave(group) }

// Abort ends the caller's connection. What was sent before arrives; a client that
// connects again by itself does not do so.
func (ctx *Context) Abort() {
	ctx.c.close(&Close{}, wsmanager.StatusNormalClosure, ErrAborted)
}

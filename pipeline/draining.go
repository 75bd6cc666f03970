package pipeline

import (
	"context"
	"net"
	"net/http"
	"sync"
)

type drainingKey struct{}

// Draining returns a channel that is closed when the server of the request with this context
// begins to drain: when the context of [Serve] ends, or srv.Shutdown is called. The request's
// context does not end then, because most handlers should finish their work. Handlers that
// last for any time, such as streams of server-sent events, have to return: [Serve] waits for
// them, and fails after [DrainTimeout].
//
// It is nil, which is never ready, if ctx is not the context of a request to a server of
// Serve, or derived from one. It is safe for concurrent use.
func Draining(ctx context.Context) <-chan struct{} {
	draining, _ := ctx.Value(drainingKey{}).(chan struct{})
	return draining
}

// announceDrain adds the channel of [Draining] to the contexts of srv's requests. begin
// closes it.
func announceDrain(srv *http.Server) (begin func()) {
	draining := make(chan struct{})
	begin = sync.OnceFunc(func() { close(draining) })
	base := srv.BaseContext
	srv.BaseContext = func(ln net.Listener) context.Context {
		ctx := context.Background()
		if base != nil {
			ctx = base(ln)
		}
		return context.WithValue(ctx, drainingKey{}, draining)
	}
	srv.RegisterOnShutdown(begin) // the application may call Shutdown
	return begin
}

package hub

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// On has a function called when the server calls the method of this name, which is
// matched without regard to case, until the function that it returns is called. A
// method may have several handlers.
//
// A handler takes a context.Context, or none, and any number of arguments, of any types that
// the protocol can decode; it returns nothing, an error, a result, or a result and an
// error. It panics if fn is no such function. If the server asks for a result, one handler has
// to have it. What the server reads of an error is its text if it is an [Error], else only
// that there was one.
//
// Handlers run one at a time, in the order in which the server has called, on a goroutine
// of their own. One that waits in [Invoke] or [Connection.Call], with its own context,
// lets the next begin. The context ends with the Connection.
func (c *Connection) On(name string, fn any) (off func()) {
	m, err := inspectHandler(name, fn)
	if err != nil {
		panic("hub.Connection.On: " + err.Error())
	}
	folded := strings.ToLower(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[folded] = append(slices.Clone(c.handlers[folded]), m)
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.handlers[folded] = slices.DeleteFunc(slices.Clone(c.handlers[folded]), func(o *method) bool { return o == m })
	})
}

// inspectHandler is inspect for what the server may call.
func inspectHandler(name string, registered any) (*method, error) {
	m, err := inspect(name, registered)
	switch {
	case err != nil:
		return nil, err
	case m.ctx == hubContext:
		return nil, fmt.Errorf("hub: Methods[%q]: takes a *Context, which a client has not: take a context.Context", name)
	case m.uploads > 0 || m.result == streamResult:
		return nil, fmt.Errorf("hub: Methods[%q]: has a stream: a server can't send or ask for one", name)
	case m.authorize != nil:
		return nil, fmt.Errorf("hub: Methods[%q]: has an Authorize: a server may call all that there is", name)
	}
	return m, nil
}

// incoming is a call of the server, and the connection's that it came by.
type incoming struct {
	inv   *Invocation
	epoch uint64
}

// enqueue takes a call of the server.
func (c *Connection) enqueue(s *socket, inv *Invocation) error {
	size := inv.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.roomLocked(s, func() bool { return len(c.queue) >= c.opts.StreamBuffer }) {
		return errGone
	}
	if c.buffered+size > c.opts.ReceiveBuffer && len(c.queue) > 0 {
		return ErrSlowConsumer
	}
	c.buffered += size
	c.queue = append(c.queue, incoming{inv, c.epoch})
	c.startLocked()
	return nil
}

// startLocked begins the next call, if it is its turn.
func (c *Connection) startLocked() {
	if c.turn || len(c.queue) == 0 || c.closing {
		return
	}
	in := c.queue[0]
	c.queue[0] = incoming{}
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil // not to keep the array of a burst
	}
	c.buffered -= in.inv.size()
	c.turn = true
	c.changed.Broadcast()
	c.running.run(func() { c.serve(in) })
}

type turnKey struct{}

// turn is a call's being handled, as the handler's context knows it.
type turn struct {
	c *Connection

	// Guarded by Connection.mu.
	waiting int
	over    bool
}

// serve has a call handled, and answers it.
func (c *Connection) serve(in incoming) {
	t := &turn{c: c}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.over = true
		if t.waiting == 0 { // else it has given its turn away
			c.turn = false
		}
		c.startLocked()
		c.changed.Broadcast()
	}()
	ctx, cancel := context.WithCancelCause(context.WithValue(c.ctx, turnKey{}, t))
	defer cancel(ErrReturned)
	answer := c.handled(ctx, in.inv)
	if in.inv.ID == "" {
		return
	}
	answer.ID = in.inv.ID
	_ = c.write(ctx, in.epoch, answer) // if the connection has broken nobody waits for it
}

// handled calls the handlers and makes the answer.
func (c *Connection) handled(ctx context.Context, inv *Invocation) *Completion {
	c.mu.Lock()
	handlers := c.handlers[strings.ToLower(inv.Target)]
	c.mu.Unlock()
	if len(handlers) == 0 {
		level := slog.LevelDebug
		if inv.ID != "" {
			level = slog.LevelWarn
		}
		c.logger().Log(ctx, level, "hub client has no handler", "method", inv.Target)
	}
	var answer *Completion
	for _, m := range handlers {
		a := c.handle(ctx, m, inv)
		switch {
		case a == nil:
		case answer != nil:
			answer = &Completion{Error: "Client provided multiple results."}
		default:
			answer = a
		}
	}
	if answer == nil {
		answer = &Completion{Error: "Client didn't provide a result."}
	}
	return answer
}

// handle calls one handler. It returns nil if that has no result and did not fail.
func (c *Connection) handle(ctx context.Context, m *method, inv *Invocation) (answer *Completion) {
	failed := func(text string, err error, attrs ...any) *Completion {
		c.logger().Warn("hub handler failed", append([]any{"method", inv.Target, "err", err}, attrs...)...)
		return &Completion{Error: text}
	}
	unexpected := "An unexpected error occurred invoking '" + inv.Target + "' on the client."
	defer func() {
		if v := recover(); v != nil {
			answer = failed(unexpected, &panicError{v, nil}, "stack", string(debug.Stack()))
		}
	}()
	if len(inv.StreamIDs) > 0 || m.mismatch(inv) != "" {
		return failed("Client failed to parse argument(s).", fmt.Errorf("got %d arguments and %d streams, the handler takes %d arguments", len(inv.Arguments), len(inv.StreamIDs), len(m.params)))
	}
	args, err := m.bind(c.protocol, inv, nil)
	if err != nil {
		return failed("Client failed to parse argument(s).", err)
	}
	result, err := m.call(ctx, args)
	if err != nil {
		text, public := publicText(err)
		if !public {
			text = unexpected
		}
		return failed(text, err)
	}
	if m.result == noResult || inv.ID == "" {
		return nil
	}
	raw, err := c.protocol.Encode(result)
	if err != nil {
		return failed(unexpected, fmt.Errorf("encoding the result: %w", err))
	}
	if raw == nil {
		raw = Raw{}
	}
	return &Completion{Result: raw}
}

// stepAside lets the next call of the server begin while the handler whose context ctx
// is waits for the server, which may not answer before. The function that it returns
// comes back.
func (c *Connection) stepAside(ctx context.Context) (back func()) {
	t, ok := ctx.Value(turnKey{}).(*turn)
	if !ok || t.c != c {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.waiting++
	if t.waiting == 1 && !t.over {
		c.turn = false
		c.startLocked()
		c.changed.Broadcast()
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.waiting--
		for t.waiting == 0 && !t.over && c.turn && !c.closing {
			c.changed.Wait()
		}
		if t.waiting == 0 && !t.over {
			c.turn = true
		}
	}
}

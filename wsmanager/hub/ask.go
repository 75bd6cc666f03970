package hub

import (
	"context"
	"fmt"
	"strconv"
)

// Callee is whom [Invoke] calls: a [Client] of a hub, or a hub, by its *[Connection].
type Callee interface {
	ask(ctx context.Context, method string, args []any, result any) error
}

// Invoke calls a method of the other side and waits for its result: of one client, by a
// hub, or of the hub, by a client. Inside a method or handler ctx is best derived from
// its context: while it waits, other calls may run, since the other side may need them
// for its answer.
//
// A client may never answer, so a hub's ctx should have an end. For a [Client] Invoke
// returns ErrNoConnection if there is no such connection, and why the connection has
// ended; for a [Connection] see [Connection.Call]. For both it returns a *[RemoteError] if
// the other side answered with an error (it has no such method, say), and the cause of
// ctx.
func Invoke[T any](ctx context.Context, to Callee, method string, args ...any) (T, error) {
	var result T
	err := to.ask(ctx, method, args, &result)
	return result, err
}

func (c Client) ask(ctx context.Context, method string, args []any, result any) error {
	cn := c.hub.find(c.id)
	if cn == nil {
		return ErrNoConnection
	}
	return cn.ask(ctx, method, args, result)
}

func (c *conn) ask(ctx context.Context, method string, args []any, result any) error {
	answer := make(chan *Completion, 1)
	c.mu.Lock()
	// A letter keeps these ids apart from those of the client: an answer and the end
	// of a client's stream look alike.
	c.asked++
	id := "s" + strconv.FormatUint(c.asked, 10)
	if c.asks == nil {
		c.asks = make(map[string]chan<- *Completion)
	}
	c.asks[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.asks, id)
	}()
	data, err := encodeInvocation(c.protocol, id, method, args)
	if err != nil {
		return err
	}
	if err := c.write(ctx, data); err != nil {
		return err
	}
	// Only now: calls begin in their order, and so do their questions.
	switch caller, ok := FromContext(ctx); {
	case !ok || caller.c != c:
	case caller.call != nil:
		defer caller.call.stepAside()()
	default:
		defer c.hookWaits()()
	}
	select {
	case m := <-answer:
		switch {
		case m.Error != "":
			return &RemoteError{method, m.Error}
		case m.Result == nil:
			return nil
		}
		if err := c.protocol.Decode(m.Result, result); err != nil {
			return fmt.Errorf("hub: the result of the client's %q: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// answered hands an answer to who asked. Nobody may be waiting for it any more.
func (c *conn) answered(m *Completion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := c.asks[m.ID]; answer != nil {
		delete(c.asks, m.ID)
		answer <- m
	}
}

// hookWaits notes that a hook waits for the client, as stepAside does of a call.
func (c *conn) hookWaits() (back func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks++
	c.changed.Broadcast()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hooks--
	}
}

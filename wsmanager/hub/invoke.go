package hub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Invoker is the target of [Invoke]: a [Client] of a hub, or a hub through its *[Connection].
type Invoker interface {
	invoke(ctx context.Context, method string, args []any, result any) error
}

// Invoke calls a method of the other side and waits for its result: a hub calls one client, or a client calls the hub.
// Inside a method or handler, derive ctx from its context. While it waits, other calls may run, because the other side may
// need them to answer.
//
// A client may never answer, so give ctx of a hub a deadline. For a [Client] Invoke returns ErrNoConnection if there is no
// such connection, and the reason if the connection ends meanwhile; for a [Connection] see [Connection.Call]. For both it
// returns a *[RemoteError] if the other side answers with an error, for example because it has no such method, and the
// cause of ctx. A null, or no result, is an error if T refuses null as a parameter, such as a number or a boolean, and
// otherwise the zero value.
func Invoke[T any](ctx context.Context, to Invoker, method string, args ...any) (T, error) {
	var result T
	err := to.invoke(ctx, method, args, &result)
	return result, err
}

func (c Client) invoke(ctx context.Context, method string, args []any, result any) error {
	cn := c.hub.find(c.id)
	if cn == nil {
		return ErrNoConnection
	}
	return cn.invoke(ctx, method, args, result)
}

func (c *conn) invoke(ctx context.Context, method string, args []any, result any) error {
	id, answer := c.registerInvocation()
	defer c.unregisterInvocation(id)
	protocol := c.session.protocol
	if err := c.writeMessage(ctx, &invocationMessage{id, method, args}, c.hub.opts.MaxSendSize); err != nil {
		var unencodable *encodingError
		if errors.As(err, &unencodable) {
			return unencodable.err
		}
		return err
	}
	// The slot is released after the write, so that the invocations of successive calls are sent in the order of the calls.
	switch caller, ok := FromContext(ctx); {
	case !ok || caller.c != c:
	case caller.call != nil:
		defer c.slots.release(&caller.call.slot)()
	default:
		defer c.hookWaiting()()
	}
	select {
	case m := <-answer:
		if m.Error != "" {
			return remoteError(method, m.Error)
		}
		if err := decodeResult(protocol, m.Result, result); err != nil {
			return fmt.Errorf("hub: decoding the result of the client's %q: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// invocationMessage is a call of a client's method.
type invocationMessage struct {
	id, method string
	args       []any
}

// encode implements outgoing.
func (m *invocationMessage) encode(p Protocol) ([]byte, error) {
	return encodeInvocation(p, m.id, m.method, m.args)
}

// registerInvocation makes an id with the prefix "s". It keeps the id apart from the client's ids: a Completion looks the
// same for an invocation and for the end of a client's stream.
func (c *conn) registerInvocation() (id string, answer <-chan *Completion) {
	ch := make(chan *Completion, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastInvocationID++
	id = "s" + strconv.FormatUint(c.lastInvocationID, 10)
	if c.pendingInvocations == nil {
		c.pendingInvocations = make(map[string]chan<- *Completion)
	}
	c.pendingInvocations[id] = ch
	return id, ch
}

func (c *conn) unregisterInvocation(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pendingInvocations, id)
}

// completeInvocation delivers the client's answer, if the invocation is still pending.
func (c *conn) completeInvocation(m *Completion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := c.pendingInvocations[m.ID]; answer != nil {
		delete(c.pendingInvocations, m.ID)
		answer <- m
	}
}

// hookWaiting notes that a hook waits for the client, until done is called.
func (c *conn) hookWaiting() (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hookWaits++
	c.changed.Broadcast()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hookWaits--
	}
}

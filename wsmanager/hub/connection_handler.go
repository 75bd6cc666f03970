package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// On registers a handler for calls of the server to the method with this name, which matches case-insensitively. off removes
// the handler. A method may have several handlers.
//
// A handler may have a context.Context as its first parameter, and any number of arguments of any types that the protocol
// can decode. It returns nothing, an error, a result, or a result and an error. On panics if fn is not such a function. If
// the server requests a result, exactly one handler must return one. If the handler returns an error, the server reads the
// text of an [Error] and otherwise a general text.
//
// Handlers run one at a time on a goroutine of their own, in the order of the server's calls. While a handler waits in
// [Invoke] or [Connection.Call] with its own context, the next one may run. The context ends with the Connection.
func (c *Connection) On(name string, fn any) (off func()) {
	m, err := inspectHandler(fmt.Sprintf("Connection.On(%q)", name), name, fn)
	if err != nil {
		panic(err)
	}
	key := strings.ToLower(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	handlers := c.handlers.byName
	handlers[key] = append(slices.Clone(handlers[key]), m)
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		handlers[key] = slices.DeleteFunc(slices.Clone(handlers[key]), func(o *method) bool { return o == m })
	})
}

// newHandlerTable inspects DialOptions.Handlers. Its error lists all mistakes.
func newHandlerTable(methods Methods) (map[string][]*method, error) {
	handlers := make(map[string][]*method)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		m, err := inspectHandler(methodLabel(name), name, methods[name])
		errs = append(errs, err)
		key := strings.ToLower(name)
		handlers[key] = append(handlers[key], m)
	}
	return handlers, errors.Join(errs...)
}

// inspectHandler is inspect for handlers of a client.
func inspectHandler(label, name string, registered any) (*method, error) {
	m, err := inspect(label, name, registered)
	switch {
	case err != nil:
		return nil, err
	case m.ctx == hubContext:
		return nil, fmt.Errorf("hub: %s: takes a *Context, which only hubs have: take a context.Context", label)
	case m.uploads > 0 || m.result == streamResult:
		return nil, fmt.Errorf("hub: %s: has a stream: a server can neither send nor request one", label)
	case m.authorize != nil:
		return nil, fmt.Errorf("hub: %s: has an Authorize: a server may call all handlers", label)
	}
	return m, nil
}

// handlerQueue runs a Connection's handlers for the calls of the server, one call at a time. Connection.mu guards it.
type handlerQueue struct {
	c      *Connection
	byName map[string][]*method // by lower-case name; the slices are not modified
	queue  []serverCall
	slots  slots
}

// serverCall is a call of the server, and the session in which it arrived.
type serverCall struct {
	inv     *Invocation
	session *session
}

type handlerCallKey struct{}

// handlerCall is the run of the handlers for one call. It is a value of the handlers' context.
type handlerCall struct {
	c    *Connection
	slot slotHolder
}

// enqueue queues a call of the server.
func (q *handlerQueue) enqueue(s *clientSocket, inv *Invocation) error {
	c := q.c
	size := callOverhead + inv.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.waitForSpaceLocked(s, func() bool { return len(q.queue) >= c.opts.StreamBuffer }) {
		return errSocketEnded
	}
	if c.buffered+size > c.opts.ReceiveBuffer && len(q.queue) > 0 {
		return ErrSlowConsumer
	}
	c.buffered += size
	q.queue = append(q.queue, serverCall{inv, s.session})
	q.startCallsLocked()
	return nil
}

// startCallsLocked implements slotOwner.
func (q *handlerQueue) startCallsLocked() {
	c := q.c
	for len(q.queue) > 0 && !c.closing && q.slots.hasFreeLocked() {
		in := q.queue[0]
		q.queue[0] = serverCall{}
		if q.queue = q.queue[1:]; len(q.queue) == 0 {
			q.queue = nil // frees the array of a long queue
		}
		c.buffered -= callOverhead + in.inv.size()
		c.changed.Broadcast()
		h := &handlerCall{c: c}
		q.slots.tryAcquireLocked(&h.slot)
		c.running.run(func() { q.run(in, h) })
	}
}

// closingLocked implements slotOwner.
func (q *handlerQueue) closingLocked() bool { return q.c.closing }

// run runs the handlers of a call and sends the answer.
func (q *handlerQueue) run(in serverCall, h *handlerCall) {
	c := q.c
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		q.slots.endLocked(&h.slot)
		q.startCallsLocked()
		c.changed.Broadcast()
	}()
	ctx, cancel := context.WithCancelCause(context.WithValue(c.ctx, handlerCallKey{}, h))
	defer cancel(ErrReturned)
	returned := false
	defer func() {
		if !returned {
			q.exited(in)
		}
	}()
	answer := q.dispatch(ctx, in.inv)
	returned = true
	if in.inv.ID == "" {
		return
	}
	answer.ID = in.inv.ID
	if err := c.write(ctx, in.session, answer); unsendable(err) {
		answer = q.failed(in.inv, unexpectedOnClient(in.inv), err)
		answer.ID = in.inv.ID
		_ = c.writeWithin(ctx, in.session, answer, math.MaxInt) // no more than the call and a general text
	} // all other errors mean that the connection has broken: then the server does not wait for the answer
}

// exited answers a call whose handler has ended its goroutine with runtime.Goexit.
func (q *handlerQueue) exited(in serverCall) {
	answer := q.failed(in.inv, unexpectedOnClient(in.inv), errExited)
	if answer.ID = in.inv.ID; answer.ID != "" {
		_ = q.c.writeWithin(q.c.ctx, in.session, answer, math.MaxInt) // no more than the call and a general text
	}
}

// failed logs a failure of a handler, and makes the answer.
func (q *handlerQueue) failed(inv *Invocation, text string, err error, attrs ...any) *Completion {
	q.c.logger().Warn("hub handler failed", append([]any{"method", httpx.Truncate(inv.Target, maxLogged), slog.Any("err", logged(err))}, attrs...)...)
	return &Completion{Error: text}
}

func unexpectedOnClient(inv *Invocation) string {
	return "An unexpected error occurred invoking '" + inv.Target + "' on the client."
}

// dispatch calls all handlers of a method and makes the answer.
func (q *handlerQueue) dispatch(ctx context.Context, inv *Invocation) *Completion {
	q.c.mu.Lock()
	handlers := q.byName[strings.ToLower(inv.Target)]
	q.c.mu.Unlock()
	if len(handlers) == 0 {
		level := slog.LevelDebug
		if inv.ID != "" {
			level = slog.LevelWarn
		}
		q.c.logger().Log(ctx, level, "hub client has no handler", "method", httpx.Truncate(inv.Target, maxLogged))
	}
	var answer *Completion
	for _, m := range handlers {
		a := q.handle(ctx, m, inv)
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

// handle calls one handler. It returns nil if the handler returned neither a result nor an error.
func (q *handlerQueue) handle(ctx context.Context, m *method, inv *Invocation) (answer *Completion) {
	c := q.c
	failed := func(text string, err error, attrs ...any) *Completion { return q.failed(inv, text, err, attrs...) }
	unexpected := unexpectedOnClient(inv)
	defer func() {
		if v := recover(); v != nil {
			answer = failed(unexpected, &panicError{v, nil}, "stack", string(debug.Stack()))
		}
	}()
	if len(inv.StreamIDs) > 0 || m.mismatch(inv) != "" {
		return failed("Client failed to parse argument(s).", fmt.Errorf("got %d arguments and %d streams, the handler takes %d arguments", len(inv.Arguments), len(inv.StreamIDs), len(m.params)))
	}
	args, err := m.bind(nil, c.protocol, inv, nil)
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
	raw, err := encodeResult(c.protocol, result)
	if err != nil {
		return failed(unexpected, err)
	}
	return &Completion{Result: raw}
}

// releaseSlot lets the next handler run while the handler with the context ctx waits for the server. It does nothing for
// other contexts.
func (c *Connection) releaseSlot(ctx context.Context) (reacquire func()) {
	h, ok := ctx.Value(handlerCallKey{}).(*handlerCall)
	if !ok || h.c != c {
		return func() {}
	}
	return c.handlers.slots.release(&h.slot)
}

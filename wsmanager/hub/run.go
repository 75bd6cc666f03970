package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Call is a call of a method, as filters and Authorize see it.
type Call struct {
	ctx    *Context
	method *method
	args   []reflect.Value
}

// Context returns the call's context.
func (c *Call) Context() *Context { return c.ctx }

// Method returns the method's name, as it was registered.
func (c *Call) Method() string { return c.method.name }

// Args returns the arguments, in the types of the method's parameters, without the
// context.
func (c *Call) Args() []any {
	args := make([]any, len(c.args))
	for i, a := range c.args {
		args[i] = a.Interface()
	}
	return args
}

// Filter runs around the calls of every method: it calls next, or does not, and returns
// what the caller gets. For a method that streams, the result is the stream itself,
// of which nothing was taken yet. Panics pass through.
type Filter func(c *Call, next func() (any, error)) (any, error)

// run runs a call and answers it.
func (k *call) run() {
	defer k.finish()
	var answer *Completion
	switch {
	case k.problem != "":
		answer = &Completion{Error: k.problem}
	case context.Cause(k.ctx) == ErrCanceled && !k.inv.Stream:
		answer = &Completion{Error: "The invocation was canceled."}
	case context.Cause(k.ctx) != nil:
		answer = &Completion{}
	default:
		answer = k.guarded()
	}
	k.forget()
	if answer.ID = k.inv.ID; answer.ID != "" {
		err := k.c.reply(k.c.ctx, answer)
		if errors.Is(err, wsmanager.ErrMessageTooBig) {
			answer = k.failed(err)
			answer.ID = k.inv.ID
			_ = k.c.reply(k.c.ctx, answer) // any other error means that the connection is ending
		}
	}
}

// guarded runs the method, whose panics are errors.
func (k *call) guarded() (answer *Completion) {
	defer func() {
		if v := recover(); v != nil {
			answer = k.failed(&panicError{v, debug.Stack()})
		}
	}()
	result, err := k.invoke()
	if err == nil {
		err = k.uploadFailed()
	}
	if err != nil {
		return k.failed(err)
	}
	switch k.method.result {
	case streamResult:
		if err := k.stream(result); err != nil {
			return k.failed(err)
		}
		return &Completion{}
	case oneResult:
		raw, err := k.c.protocol.Encode(result)
		if err != nil {
			return k.failed(fmt.Errorf("encoding the result: %w", err))
		}
		if raw == nil {
			raw = Raw{}
		}
		return &Completion{Result: raw}
	}
	return &Completion{}
}

// panicError is a panic of a method.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// errUnauthorized is what Authorize's errors say to clients.
type errUnauthorized struct{ err error }

func (e *errUnauthorized) Error() string { return "not authorized: " + e.err.Error() }
func (e *errUnauthorized) Unwrap() error { return e.err }

func failedToInvoke(method string) string {
	return "Failed to invoke '" + method + "' due to an error on the server."
}

// failed makes the answer of an error: what the client may know, and the rest for the
// log. The texts are those of ASP.NET Core.
func (k *call) failed(err error) *Completion {
	h, name := k.c.hub, k.inv.Target
	text, public := publicText(err)
	level := slog.LevelError
	var bad *bindError
	var denied *errUnauthorized
	var panicked *panicError
	switch {
	case public:
		level = slog.LevelDebug // the method has said what is to be said
	case errors.As(err, &denied):
		text, level = "Failed to invoke '"+name+"' because user is unauthorized", slog.LevelWarn
	case errors.As(err, &bad):
		text, level = failedToInvoke(name)+" "+bad.text, slog.LevelInfo
	case context.Cause(k.ctx) != nil:
		level = slog.LevelDebug // it was told to stop
		if k.inv.Stream && context.Cause(k.ctx) == ErrCanceled {
			return &Completion{} // the client has asked for the end
		}
		fallthrough
	default:
		text = "An unexpected error occurred invoking '" + name + "' on the server."
	}
	attrs := []slog.Attr{slog.String("method", k.method.name), slog.String("id", k.c.id), slog.Any("err", err)}
	if errors.As(err, &panicked) {
		attrs = append(attrs, slog.String("stack", string(panicked.stack)))
	}
	h.logger().LogAttrs(k.ctx, level, "hub method failed", attrs...)
	return &Completion{Error: h.detailed(text, err, public)}
}

// detailed adds an error's text to what the client reads, where that is wanted.
func (h *Hub) detailed(text string, err error, public bool) string {
	if h.opts.DangerouslyDetailedErrors && !public {
		return text + " " + err.Error()
	}
	return text
}

// invoke decodes the arguments and calls the method, through authorisation and filters.
func (k *call) invoke() (any, error) {
	m := k.method
	args, err := m.bind(k.c.protocol, k.inv, k.uploads)
	if err != nil {
		return nil, err
	}
	k.inv.Arguments = nil // a stream may last long
	c := &Call{ctx: k.ctx, method: m, args: args}
	if m.authorize != nil {
		if err := m.authorize(c); err != nil {
			return nil, &errUnauthorized{err}
		}
	}
	next := func() (any, error) { return m.call(k.ctx, args) }
	for i := len(k.c.hub.opts.Filters) - 1; i >= 0; i-- {
		filter, inner := k.c.hub.opts.Filters[i], next
		next = func() (any, error) { return filter(c, inner) }
	}
	return next()
}

// call calls the Go function.
func (m *method) call(ctx context.Context, args []reflect.Value) (any, error) {
	in := args
	if m.ctx != noContext {
		in = append([]reflect.Value{reflect.ValueOf(ctx)}, args...)
	}
	out := m.fn.Call(in)
	var err error
	if m.hasError {
		err, _ = out[len(out)-1].Interface().(error)
	}
	if m.result == noResult {
		return nil, err
	}
	return out[0].Interface(), err
}

func (h *Hub) callConnected(c *conn) (err error) {
	if h.opts.Connected == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = h.hookPanicked("Connected", c, v)
		}
	}()
	return h.opts.Connected(&Context{Context: c.ctx, c: c})
}

func (h *Hub) callDisconnected(c *conn, cause error) {
	if h.opts.Disconnected == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			_ = h.hookPanicked("Disconnected", c, v) // logged; there is nobody left to tell
		}
	}()
	h.opts.Disconnected(&Context{Context: context.WithoutCancel(c.ctx), c: c}, cause)
}

func (h *Hub) hookPanicked(hook string, c *conn, v any) error {
	err := &panicError{v, debug.Stack()}
	h.logger().LogAttrs(c.ctx, slog.LevelError, "hub hook panicked", slog.String("hook", hook), slog.String("id", c.id),
		slog.Any("err", err), slog.String("stack", string(err.stack)))
	return err
}

package hub

import "context"

// ClientMethod is a method of clients, with one argument of type T and a result of type R, that a hub invokes. The compiler
// checks both:
//
//	var Confirm = hub.NewClientMethod[Order, bool]("confirm")
//
//	ok, err := Confirm.Invoke(ctx, ctx.Clients().Caller(), order)
//
// Declare it in Options.Events, like an [Event]. A ClientMethod is immutable and safe for concurrent use. Make one with
// [NewClientMethod]. ClientMethod0, ClientMethod2 and ClientMethod3 have other numbers of arguments.
type ClientMethod[T, R any] struct{ name string }

// NewClientMethod makes a ClientMethod. Clients in .NET and Java need the exact case of its name.
func NewClientMethod[T, R any](name string) ClientMethod[T, R] { return ClientMethod[T, R]{name} }

// Name returns the name that clients register a handler for.
func (m ClientMethod[T, R]) Name() string { return m.name }

// Invoke calls the method of one client and waits for its result; see [Invoke].
func (m ClientMethod[T, R]) Invoke(ctx context.Context, to Client, v T) (R, error) {
	return Invoke[R](ctx, to, m.name, v)
}

// On registers the handler of a client; see [Connection.On]. The hub reads the text of an [Error].
func (m ClientMethod[T, R]) On(c Subscriber, handler func(context.Context, T) (R, error)) (off func()) {
	return c.On(m.name, handler)
}

// ClientMethod0 is a ClientMethod without arguments.
type ClientMethod0[R any] struct{ name string }

// NewClientMethod0 makes a ClientMethod0; see [NewClientMethod].
func NewClientMethod0[R any](name string) ClientMethod0[R] { return ClientMethod0[R]{name} }

// Name returns the name that clients register a handler for.
func (m ClientMethod0[R]) Name() string { return m.name }

// Invoke calls the method of one client and waits for its result; see [Invoke].
func (m ClientMethod0[R]) Invoke(ctx context.Context, to Client) (R, error) {
	return Invoke[R](ctx, to, m.name)
}

// On registers the handler of a client; see [ClientMethod.On].
func (m ClientMethod0[R]) On(c Subscriber, handler func(context.Context) (R, error)) (off func()) {
	return c.On(m.name, handler)
}

// ClientMethod2 is a ClientMethod with two arguments.
type ClientMethod2[T1, T2, R any] struct{ name string }

// NewClientMethod2 makes a ClientMethod2; see [NewClientMethod].
func NewClientMethod2[T1, T2, R any](name string) ClientMethod2[T1, T2, R] {
	return ClientMethod2[T1, T2, R]{name}
}

// Name returns the name that clients register a handler for.
func (m ClientMethod2[T1, T2, R]) Name() string { return m.name }

// Invoke calls the method of one client and waits for its result; see [Invoke].
func (m ClientMethod2[T1, T2, R]) Invoke(ctx context.Context, to Client, v1 T1, v2 T2) (R, error) {
	return Invoke[R](ctx, to, m.name, v1, v2)
}

// On registers the handler of a client; see [ClientMethod.On].
func (m ClientMethod2[T1, T2, R]) On(c Subscriber, handler func(context.Context, T1, T2) (R, error)) (off func()) {
	return c.On(m.name, handler)
}

// ClientMethod3 is a ClientMethod with three arguments.
type ClientMethod3[T1, T2, T3, R any] struct{ name string }

// NewClientMethod3 makes a ClientMethod3; see [NewClientMethod].
func NewClientMethod3[T1, T2, T3, R any](name string) ClientMethod3[T1, T2, T3, R] {
	return ClientMethod3[T1, T2, T3, R]{name}
}

// Name returns the name that clients register a handler for.
func (m ClientMethod3[T1, T2, T3, R]) Name() string { return m.name }

// Invoke calls the method of one client and waits for its result; see [Invoke].
func (m ClientMethod3[T1, T2, T3, R]) Invoke(ctx context.Context, to Client, v1 T1, v2 T2, v3 T3) (R, error) {
	return Invoke[R](ctx, to, m.name, v1, v2, v3)
}

// On registers the handler of a client; see [ClientMethod.On].
func (m ClientMethod3[T1, T2, T3, R]) On(c Subscriber, handler func(context.Context, T1, T2, T3) (R, error)) (off func()) {
	return c.On(m.name, handler)
}

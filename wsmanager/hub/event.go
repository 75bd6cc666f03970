package hub

// Event is an event with one argument of type T that a hub sends to its clients. The compiler checks the argument:
//
//	var Said = hub.NewEvent[Remark]("said")
//
//	err := Said.Send(ctx.Clients().Group("board"), Remark{…})
//
// Declare the events of a hub in Options.Events: then [New] checks their names and types, and [TypeScript] writes them for
// clients. An Event is immutable and safe for concurrent use. Make one with [NewEvent]. Event0, Event2 and Event3 have
// other numbers of arguments.
type Event[T any] struct{ name string }

// NewEvent makes an Event. Clients in .NET and Java need the exact case of its name.
func NewEvent[T any](name string) Event[T] { return Event[T]{name} }

// Name returns the name that clients register handlers for.
func (e Event[T]) Name() string { return e.name }

// Send sends the event. It returns the errors of to's Send: see [Client.Send] and [Clients].
func (e Event[T]) Send(to Sender, v T) error { return to.Send(e.name, v) }

// On registers a handler in a client; see [Connection.On]. Events that may come as soon as the client has connected need a
// handler in DialOptions.Handlers, under the Name of the event.
func (e Event[T]) On(c Subscriber, handler func(T)) (off func()) { return c.On(e.name, handler) }

// Event0 is an Event without arguments.
type Event0 struct{ name string }

// NewEvent0 makes an Event0; see [NewEvent].
func NewEvent0(name string) Event0 { return Event0{name} }

// Name returns the name that clients register handlers for.
func (e Event0) Name() string { return e.name }

// Send sends the event; see [Event.Send].
func (e Event0) Send(to Sender) error { return to.Send(e.name) }

// On registers a handler in a client; see [Event.On].
func (e Event0) On(c Subscriber, handler func()) (off func()) { return c.On(e.name, handler) }

// Event2 is an Event with two arguments.
type Event2[T1, T2 any] struct{ name string }

// NewEvent2 makes an Event2; see [NewEvent].
func NewEvent2[T1, T2 any](name string) Event2[T1, T2] { return Event2[T1, T2]{name} }

// Name returns the name that clients register handlers for.
func (e Event2[T1, T2]) Name() string { return e.name }

// Send sends the event; see [Event.Send].
func (e Event2[T1, T2]) Send(to Sender, v1 T1, v2 T2) error { return to.Send(e.name, v1, v2) }

// On registers a handler in a client; see [Event.On].
func (e Event2[T1, T2]) On(c Subscriber, handler func(T1, T2)) (off func()) {
	return c.On(e.name, handler)
}

// Event3 is an Event with three arguments.
type Event3[T1, T2, T3 any] struct{ name string }

// NewEvent3 makes an Event3; see [NewEvent].
func NewEvent3[T1, T2, T3 any](name string) Event3[T1, T2, T3] { return Event3[T1, T2, T3]{name} }

// Name returns the name that clients register handlers for.
func (e Event3[T1, T2, T3]) Name() string { return e.name }

// Send sends the event; see [Event.Send].
func (e Event3[T1, T2, T3]) Send(to Sender, v1 T1, v2 T2, v3 T3) error {
	return to.Send(e.name, v1, v2, v3)
}

// On registers a handler in a client; see [Event.On].
func (e Event3[T1, T2, T3]) On(c Subscriber, handler func(T1, T2, T3)) (off func()) {
	return c.On(e.name, handler)
}

// Sender is the target of [Event.Send]: a [Client] or [Receivers] of a hub.
type Sender interface {
	Send(method string, args ...any) error
}

// Subscriber is a client that handlers of events are registered in: a *[Connection], or a client of package hubtest.
type Subscriber interface {
	On(method string, fn any) (off func())
}

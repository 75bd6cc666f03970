// Package hub lets clients call Go functions on the server by name, and the server
// call functions of its clients: with typed arguments, results, errors, and streams in
// both directions. It speaks the published SignalR Hub Protocol over WebSockets, so
// that Microsoft's clients for JavaScript, .NET and Java work with it unchanged.
//
// # Usage
//
//	chat, err := hub.New(hub.Methods{
//		"Say": func(ctx *hub.Context, text string) error {
//			return ctx.Clients().All().Send("said", ctx.ConnectionID(), text)
//		},
//		"Add": func(a, b int) int { return a + b },
//	}, hub.Options{})
//	…
//	mux.Handle("/hub", chat)
//	mux.Handle("/hub/", chat) // the negotiation is at /hub/negotiate
//	…
//	err = chat.Shutdown(ctx)
//
// and in a browser:
//
//	const c = new signalR.HubConnectionBuilder().withUrl("/hub").withAutomaticReconnect().build();
//	c.on("said", (id, text) => …);
//	await c.start();
//	await c.invoke("Add", 40, 2); // 42
//
// [Methods] says what functions may look like; they are inspected once, by [New], which
// reports all mistakes. What is not in it can't be called.
//
// # Sending
//
// [Clients] reaches everybody, one connection, groups and users, from inside calls
// ([Context.Clients]) and from anywhere else ([Hub.Clients]): a handler that has stored
// an order tells those whom it concerns. What many get is encoded once for each protocol
// that they speak. [Invoke] calls one client and waits for its result.
//
// # Clients in Go
//
// [Dial] makes a [Connection] to a hub, this one's or one of ASP.NET Core, which calls and
// is called, and is made again when it breaks:
//
//	c, err := hub.Dial(ctx, "https://example.com/hub", hub.DialOptions{
//		Handlers: hub.Methods{"said": func(id, text string) { … }},
//	})
//	…
//	sum, err := hub.Invoke[int](ctx, c, "Add", 40, 2)
//
// # Concurrency
//
// Calls of different clients run in parallel. Of one client, one call runs at a time, in
// order of arrival (Options.MaxParallelCalls); calls that stream run beside them. While a
// method waits in Invoke, its client's next call may run. Everything else a client sends
// (answers, items of its streams, cancellations, pings) is dealt with as it comes,
// also while its calls run. The context of a call ends when the client cancels
// the call or leaves; a method that waits for anything should wait for that too.
//
// # Back-pressure
//
// Everything is bounded. A client that reads its stream slowly holds the method up; one
// that sends more items or calls than may wait is not read from until there is room.
// Where that would wait for ever, since only the client itself could make room,
// its connection ends. Sends to others wait for nobody: see
// wsmanager's policies for slow consumers.
//
// # Failure
//
// A method's error reaches its caller. As an [Error] it does so word for word; of any
// other, and of a panic, the caller reads only that there was one, and the log has the
// rest. What is no record of the protocol, too big a one, or one against its rules ends
// the connection with a Close message that says so. Options.Disconnected is told of every end, once.
//
// # Testing
//
// A hub is a handler, and [Dial] a client for it: httptest.NewServer and a Connection do.
// To see or spoil what is on the wire, speak the protocol with wsmanager/wstest's client.
//
// # Protocols
//
// [Message] and its kinds (Invocation, StreamItem, Completion, Ack, Ping, Sequence …), [Raw]
// and [Protocol] are for authors of another protocol only: see wsmanager/hub/msgpack.
//
// # What it does not do
//
// Long polling and server-sent events, in hubs and in clients: docs/signalr.md has the whole list, how to connect
// each client, and what differs from ASP.NET Core.
package hub

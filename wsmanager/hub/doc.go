// Package hub lets clients call Go functions on the server by name and lets the server call functions of its clients, with
// typed arguments, results, errors, and streams in both directions. It implements the SignalR Hub Protocol over WebSockets,
// so Microsoft's clients for JavaScript, .NET and Java work with it unchanged.
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
// [Methods] describes the functions that can be registered. [New] inspects them once and reports all mistakes. Clients
// cannot call any other function.
//
// # Sending
//
// [Clients] sends to all connections, one connection, groups and users. It is available in calls ([Context.Clients]) and
// everywhere else ([Hub.Clients]): for example, an HTTP handler that has stored an order can notify the customer. A message
// for several connections is encoded once for each protocol. [Invoke] calls one client and waits for its result.
//
// An [Event] or a [ClientMethod] declares the types of such a message, so that the compiler checks them. [TypeScript] writes
// them for clients that are written in TypeScript.
//
// # Clients in Go
//
// [Dial] makes a [Connection] to a hub of this package or of ASP.NET Core. Both sides can call each other, and the
// Connection reconnects when it breaks:
//
//	c, err := hub.Dial(ctx, "https://example.com/hub", hub.DialOptions{
//		Handlers: hub.Methods{"said": func(id, text string) { … }},
//	})
//	…
//	sum, err := hub.Invoke[int](ctx, c, "Add", 40, 2)
//
// # Concurrency
//
// Calls of different clients run in parallel. For one client, one call runs at a time, in order of arrival
// (Options.MaxParallelCalls). Calls that stream run in parallel to it. While a method waits in Invoke, the client's next
// call may run. All other messages of a client (answers, items of its streams, cancellations, pings) are handled as they
// arrive, also while its calls run. The context of a call ends when the client cancels the call or disconnects. A method
// that waits should also wait for its context.
//
// # Back-pressure
//
// All buffers are bounded. If a client reads a stream slowly, the method that produces the stream waits. If a client sends
// more items or calls than the buffers hold, the hub stops reading from it until there is space. If only the client itself
// could make space, waiting would be a deadlock, so the hub ends the connection. Sends to clients never wait: see
// wsmanager's policies for slow consumers.
//
// # Failure
//
// A method's error is sent to its caller. The caller reads the text of an [Error]. For all other errors and for panics it
// reads a general text, and the log has the details. A malformed, oversized or invalid record ends the connection with a
// Close message that says why. Options.Disconnected is called once for each connection that ends.
//
// # Testing
//
// Package wsmanager/hub/hubtest has a client for tests of an application, in memory and in fake time. A hub is an
// http.Handler and [Dial] is a client for it, so tests can also use httptest.NewServer and a Connection. Tests that inspect
// or corrupt the data on the wire can use the client in wsmanager/wstest.
//
// # Protocols
//
// [Message] and its types (Invocation, StreamItem, Completion, Ack, Ping, Sequence …), [Raw] and [Protocol] are only for
// authors of further protocols: see wsmanager/hub/msgpack.
//
// # Limits
//
// Neither hubs nor clients support long polling and server-sent events. docs/signalr.md has the full list, explains how to
// connect each client, and lists the differences from ASP.NET Core.
package hub

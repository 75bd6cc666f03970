// Package hubtest tests applications that use a hub. Its client speaks the hub protocol with the real hub, through the real
// HTTP server and WebSocket, but in memory: a test needs no port, and inside a testing/synctest bubble minutes take no time.
//
// # Usage
//
//	func TestChat(t *testing.T) {
//		ann, bob := hubtest.Connect(t, chat, hubtest.Options{}), hubtest.Connect(t, chat, hubtest.Options{})
//		ann.Call("Join", "tea")
//		bob.Call("Join", "tea")
//		ann.Expect("joined", bob.ID())
//		require.Equal(t, 2, hubtest.Invoke[int](ann, "Count"))
//		require.Equal(t, "The room is full.", ann.CallFails("Join", "coffee"))
//	}
//
// A [Client] invokes methods ([Invoke], [Client.Call], [Client.Send]), reads streams ([Stream]) and expects events
// ([Client.Expect], [Client.Next], [Client.ExpectNone]). [Client.On] answers calls of the hub that want a result.
// [Client.Cut] and [Client.Resume] break the connection and resume it (stateful reconnect). [Client.Connection] is the
// Connection of package hub below, for everything else.
//
// # Time
//
// The hub's time-outs, pings and windows follow the clock of the test. In a bubble the test moves it with time.Sleep:
//
//	synctest.Test(t, func(t *testing.T) {
//		c := hubtest.Connect(t, h, hubtest.Options{Stateful: true, Patience: time.Hour})
//		c.Cut()
//		time.Sleep(20 * time.Second) // the hub has ended the connection
//		…
//	})
//
// Make the hub in the bubble, and shut it down before the bubble ends.
//
// # Concurrency
//
// A Client belongs to the test's goroutine: its methods fail the test with Fatal. Handlers of [Client.On] run on another
// goroutine. Several Clients of one hub are independent.
//
// # Failure
//
// Anything that does not happen within Options.Patience fails the test.
//
// The package does not test the bytes on the wire: wsmanager/wstest has a client for that. It does not shut down the hub.
package hubtest

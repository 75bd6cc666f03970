// Package wstest helps to test WebSocket endpoints from the outside. It has a client that
// follows the protocol or, frame by frame and byte by byte, violates it, and a check that
// no goroutine is left behind.
//
// # Usage
//
//	srv := httptest.NewServer(handler)
//	c := wstest.Dial(t, srv.URL+"/ws", nil)
//	c.SendText("hello")
//	c.ExpectText("hello")
//	c.SendClose(1000, "")
//	c.ExpectClose(1000)
//
// The same client works without a socket, for tests in a testing/synctest bubble, such as
// those of pings and timeouts:
//
//	c := wstest.DialHandler(t, handler, "/ws", nil, wstest.Memory{Patience: time.Hour})
//
// Text, Binary, ExpectClose and the methods made of them answer pings, also those of
// wsmanager.Conn.Ping; ReadFrame and ExpectPing leave the answer to the test.
//
// The connection is a [Pipe] with a small buffer: a client that stops reading is a slow
// consumer at once.
//
// A [Proxy] in between simulates a bad network: late, slow, fragmented or cut.
//
// # Concurrency
//
// A Client belongs to the test's goroutine: its methods fail the test with Fatal.
//
// # Failure
//
// Anything that does not happen within [Patience], or Memory.Patience, fails the test.
package wstest

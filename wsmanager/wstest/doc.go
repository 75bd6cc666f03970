// Package wstest helps to test WebSocket endpoints from the outside: a client
// that speaks the protocol well or, frame by frame and byte by byte, badly, and a
// check that no goroutine is left behind.
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
// The same client without a socket, for tests whose time is a testing/synctest
// bubble's, such as those of pings and time-outs:
//
//	c := wstest.DialHandler(t, handler, "/ws", nil, wstest.Memory{Patience: time.Hour})
//
// The connection is a [Pipe], which holds only so many bytes: a client that stops
// to read is a slow consumer at once.
//
// A [Proxy] in between is a bad network: late, slow, in pieces, cut off.
//
// # Concurrency
//
// A Client belongs to the test's goroutine: its methods fail the test with
// Fatal.
//
// # Failure
//
// Whatever does not happen within [Patience], or Memory.Patience, fails the test.
package wstest

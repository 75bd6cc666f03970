// Package h2test is an HTTP/2 client for tests. It sends extended CONNECT requests (RFC
// 8441), with which a WebSocket over HTTP/2 begins: net/http's client refuses the header
// :protocol, and from Go 1.27 on the client of golang.org/x/net/http2 is net/http's. Only
// tests of this repository import it; users have package wstest.
//
// A [Conn] has one goroutine that reads and one that writes. It obeys the server's limits
// (streams, windows, frame sizes, header table) and checks the server: data beyond a
// window, a pushed response or a frame that RFC 9113 forbids ends the connection with an
// error that names the fault. Trailers are dropped, and priorities are not sent.
package h2test

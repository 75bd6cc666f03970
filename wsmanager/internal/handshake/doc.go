// Package handshake does the opening handshake of WebSockets: RFC 6455 over HTTP/1.1 on
// both sides, RFC 8441 (extended CONNECT) over HTTP/2 on the server's side.
//
// A server passes a request through these steps:
//
//   - [Check] validates it: the request line, the headers, the origin.
//   - [Answer.Check] validates the application's part of the answer.
//   - [Request.Prepare] finds out whether the writer can be used for the answer.
//   - [Request.Upgrade] or [Request.OpenStream] sends the answer.
//
// A [Refusal] leaves the response to the caller, who answers with the status that it
// names. After any other error the answer has begun, and HTTP can't go on over the
// connection: see [BrokenError].
//
// A client makes a [Target] from a URL and headers, and calls [Dial], which connects, if
// necessary through a proxy and with TLS, does the handshake and follows redirects.
//
// The caller owns admission, time limits as a context, logs, counters and everything
// after the handshake. The package knows no connection state and no messages. It negotiates
// no extension itself: the caller fills in [Answer.Extensions], and sets
// [ClientConfig.CheckExtensions].
// Its errors have no prefix, because the caller adds its own.
package handshake

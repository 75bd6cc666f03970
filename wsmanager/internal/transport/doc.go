// Package transport moves the bytes of one connection over a plain socket, over any
// [net.Conn] (TLS included), or over a stream of an HTTP/2 connection. It does not know
// frames, connections of a Manager, or which goroutine reads.
//
// Every transport is a [Transport]. What else it can do is said by further interfaces, so
// that no transport has a method that it cannot perform:
//
//	               Reader   TryWriter   WritableWaiter   WritableNotifier   BlockingWriter
//	plain socket     x          x             x
//	net.Conn         x                                                            x
//	HTTP/2 stream    x                                                            x
//	event loop                  x                               x
//
// A transport is either a BlockingWriter, or a TryWriter that is also a WritableWaiter or a
// WritableNotifier. The transport of the event loop is not a Reader, because the loop reads.
//
// # Ownership
//
// The methods of Reader belong to the goroutine that reads. Of the methods that write, one
// call runs at a time; the caller ensures that. The methods of Transport may be called at
// any time. Buffers that Read passes on are lent for the call.
package transport

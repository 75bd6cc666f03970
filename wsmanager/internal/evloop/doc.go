// Package evloop waits for many sockets with one goroutine and no buffer, and
// calls their handlers inline, on the goroutine that polls. A handler that does
// not return soon is left behind with its socket, and another goroutine takes
// the loop over, so that it holds up nobody else. It knows nothing of WebSockets.
package evloop

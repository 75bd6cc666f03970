//go:build !linux

package wsmanager

import "net"

// newTransport is never called: there are no loops.
func (*loops) newTransport(*Conn, net.Conn) (*loopTransport, error) { return nil, errNotPlainTCP }

// loopTransport is nothing on this system.
type loopTransport struct {
	connTransport
	goroutineDriver
}

//go:build !linux

package wsmanager

import "net"

// newTransport is never called: there are no loops.
func (*loops) newTransport(*Conn, net.Conn) (transport, driver, error) {
	return nil, nil, errNotPlainTCP
}

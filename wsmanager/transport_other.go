//go:build !unix

package wsmanager

import "net"

// newTransport makes the transport for conn.
func newTransport(conn net.Conn) transport { return &connTransport{conn: conn} }

//go:build !unix

package transport

import "net"

// New makes the best transport for conn, which is a Reader. remote is the address of the
// peer if conn does not know one.
func New(conn net.Conn, remote net.Addr) Transport { return newConn(conn, remote) }

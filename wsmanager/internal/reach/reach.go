// Package reach is how wstest reaches servers, for the tests of wsmanager to choose.
package reach

import (
	"net"
	"time"
)

// Dial connects to a server's address.
var Dial = func(address string, within time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", address, within)
}

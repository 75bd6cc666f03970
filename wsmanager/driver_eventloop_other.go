//go:build !linux

package wsmanager

import (
	"net"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// newTransport is never called, because newLoopPool has returned an error.
func (*loopPool) newTransport(*Conn, net.Conn) (transport.Transport, driver, error) {
	return nil, nil, errNotPlainTCP
}

//go:build !linux

package wsmanager

import (
	"net"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// newLoopTransport is never called, because evloop.NewPool has returned an error.
func (*Manager) newLoopTransport(*Conn, net.Conn) (transport.Transport, driver, error) {
	return nil, nil, errNotPlainTCP
}

// followUp is never called.
func followUp(evloop.Handler) {}

// loopDriverOf is never called.
func loopDriverOf(transport.Transport) driver { return nil }

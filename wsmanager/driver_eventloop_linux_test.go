package wsmanager

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// A link-local address has a zone, which eventLoopTransport can't store.
func TestAddressWithAZone(t *testing.T) {
	remote := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}
	loop := &eventLoopTransport{}
	c := &Conn{}
	c.out.Attach(&addressedLoopTransport{loop, remote})
	require.Same(t, loop, (*eventHandler)(c).transport())
	require.Same(t, remote, c.RemoteAddr())
	require.True(t, InLoop(c))
	require.Implements(t, (*transport.WritableNotifier)(nil), c.out.Transport())
	require.Implements(t, (*takeable)(nil), c.out.Transport(), "otherwise a goroutine would read the socket after a takeover")
}

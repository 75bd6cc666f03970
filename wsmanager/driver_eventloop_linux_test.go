package wsmanager

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// A link-local address has a zone, which transport.Loop can't store.
func TestAddressWithAZone(t *testing.T) {
	remote := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}
	loop := &transport.Loop{}
	c := &Conn{}
	c.out.Attach(loop.WithRemote(remote))
	require.Same(t, (*loopDriver)(loop), (*eventHandler)(c).driver())
	require.Same(t, remote, c.RemoteAddr())
	require.True(t, InLoop(c))
	require.Implements(t, (*transport.WritableNotifier)(nil), c.out.Transport())
	require.Implements(t, (*takeable)(nil), c.out.Transport(), "otherwise a goroutine would read the socket after a takeover")
}

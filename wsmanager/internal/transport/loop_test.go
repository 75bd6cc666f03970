package transport

import (
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A Loop stores the address of the peer in few bytes. An address that does not fit, for
// example a link-local one with a zone, is kept beside it.
func TestLoopAddress(t *testing.T) {
	for _, tt := range []struct {
		name   string
		remote net.Addr
		fits   bool
	}{
		{"IPv4", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:80")), true},
		{"IPv6", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::1]:65535")), true},
		{"zone", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}, false},
		{"other network", &net.UnixAddr{Name: "x", Net: "unix"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loop := &Loop{}
			got := loop.WithRemote(tt.remote)
			require.Equal(t, tt.remote.String(), got.RemoteAddr().String())
			require.Same(t, loop, LoopOf(got))
			_, fits := got.(*Loop)
			require.Equal(t, tt.fits, fits)
		})
	}
	require.Nil(t, LoopOf(&Stream{}))
}

// A Loop is part of each idle connection in an event loop.
func TestLoopSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Loop{}), uintptr(80))
}

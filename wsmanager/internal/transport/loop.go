package transport

import (
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// Loop is the transport of a socket in an event loop. It is a WritableNotifier. It is not a
// Reader, because the loop reads. The caller adds Socket to a loop.
type Loop struct {
	Socket evloop.Socket

	addr [16]byte // of the peer; netip.AddrPort would take twice the bytes
	port uint16   // of the peer
	is4  bool     // addr is an IPv4 address

	// Finished belongs to the reader. It is here because a field behind a Loop would take 8
	// bytes of each connection.
	Finished bool

	data atomic.Uint32 // a set of dataRuns and followUpRequested
}

// The bits of Loop.data.
const (
	dataRuns uint32 = 1 << iota // the loop has called Data, and the reader was not replaced since then
	followUpRequested
)

// BeginData notes that the loop calls Data of the socket's handler.
func (t *Loop) BeginData() { t.data.Or(dataRuns) }

// EndData notes that Data returns, or that its reader was replaced.
func (t *Loop) EndData() { t.data.And(^dataRuns) }

// RequestFollowUp is called in Data, and makes TakeFollowUp return true once after it. It
// returns false outside of Data.
func (t *Loop) RequestFollowUp() bool {
	if t.data.Load()&dataRuns == 0 {
		return false
	}
	t.data.Or(followUpRequested)
	return true
}

// TakeFollowUp reports whether RequestFollowUp was called since the last TakeFollowUp.
func (t *Loop) TakeFollowUp() bool {
	return t.data.Load()&followUpRequested != 0 && t.data.And(^followUpRequested)&followUpRequested != 0
}

// AddressedLoop is a Loop whose address does not fit its fields: one with a zone, or one that
// the socket does not know.
type AddressedLoop struct {
	*Loop
	Remote net.Addr
}

// RemoteAddr implements Transport.
func (t *AddressedLoop) RemoteAddr() net.Addr { return t.Remote }

// WithRemote sets the address of the peer. It returns t, or an AddressedLoop.
func (t *Loop) WithRemote(remote net.Addr) WritableNotifier {
	peer, ok := remote.(*net.TCPAddr)
	if !ok || peer.Zone != "" {
		return &AddressedLoop{t, remote}
	}
	addr := peer.AddrPort()
	t.addr, t.port, t.is4 = addr.Addr().As16(), addr.Port(), addr.Addr().Is4()
	return t
}

// LoopOf returns the Loop of a transport that WithRemote has returned, or nil.
func LoopOf(t Transport) *Loop {
	switch t := t.(type) {
	case *Loop:
		return t
	case *AddressedLoop:
		return t.Loop
	}
	return nil
}

// TryWrite implements TryWriter.
func (t *Loop) TryWrite(p []byte) (int, error) { return t.Socket.Write(p) }

// NotifyWritable implements WritableNotifier. The loop calls Writable of its handler.
func (t *Loop) NotifyWritable() {
	_ = t.Socket.WantWritable() // an error means that the loop is about to call End
}

// Interrupt implements Transport. The loop calls Kicked of its handler.
func (t *Loop) Interrupt() error {
	t.Socket.Kick()
	return nil
}

// Close implements Transport. The loop calls End of its handler afterwards.
func (t *Loop) Close() error { t.Socket.Shut(); return nil }

// CloseWrite implements Transport.
func (t *Loop) CloseWrite() error { return t.Socket.CloseWrite() }

// Take takes the socket from its loop: see evloop.Socket.
func (t *Loop) Take() bool { return t.Socket.Take() }

// RemoteAddr implements Transport.
func (t *Loop) RemoteAddr() net.Addr {
	addr := netip.AddrFrom16(t.addr)
	if t.is4 {
		addr = addr.Unmap()
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, t.port))
}

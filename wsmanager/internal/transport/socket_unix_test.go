//go:build unix

package transport

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A peer makes room after TryWrite and before AwaitWritable, which must see that.
func TestRoomMadeBeforeTheWaitIsSeen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer peer.Close()
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	tr := New(conn, nil).(*plainSocket)

	for range 20 {
		sent, p := 0, make([]byte, 64<<10)
		for {
			n, err := tr.TryWrite(p)
			require.NoError(t, err)
			if sent += n; n < len(p) {
				break
			}
		}
		_, err = io.CopyN(io.Discard, peer, int64(sent))
		require.NoError(t, err)
		require.Eventually(t, func() (writable bool) {
			require.NoError(t, tr.raw.Control(func(fd uintptr) {
				n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
				writable = n == 1 && err == nil
			}))
			return writable
		}, 10*time.Second, time.Millisecond)
		done := make(chan error, 1)
		go func() { done <- tr.AwaitWritable() }()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			conn.Close()
			t.Fatal("the wait did not see the room")
		}
	}
}

var (
	_ Reader         = (*plainSocket)(nil)
	_ WritableWaiter = (*plainSocket)(nil)
)

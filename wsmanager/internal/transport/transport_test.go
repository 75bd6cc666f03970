package transport

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	_ Reader         = (*netConn)(nil)
	_ BlockingWriter = (*netConn)(nil)
	_ BlockingWriter = (*addressedConn)(nil)
	_ Reader         = (*Stream)(nil)
	_ BlockingWriter = (*Stream)(nil)
)

// A connection of which not even the address is known, as Network.Dial may return.
type unknownConn struct{ net.Conn }

func (unknownConn) RemoteAddr() net.Addr { return nil }

// The writer loop decides by these interfaces, so a transport must not be both.
func TestTransportsWriteInOneWay(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for _, tr := range []Transport{New(a, nil), New(unknownConn{a}, nil), NewStream(nil, nil, nil)} {
		_, tries := tr.(TryWriter)
		_, blocks := tr.(BlockingWriter)
		require.True(t, blocks, "%T", tr)
		require.False(t, tries, "%T", tr)
	}
}

func TestRemoteAddrOfAConnectionThatDoesNotKnowIt(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	known := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}
	require.Equal(t, a.RemoteAddr(), New(a, known).RemoteAddr())
	require.Same(t, known, New(unknownConn{a}, known).RemoteAddr())
}

// Progress is reported for each 16 KiB, so that a slow write is told from a stuck one.
func TestBlockingWriteReportsProgress(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	tr := New(a, nil).(BlockingWriter)
	parts := 0
	done := make(chan error, 1)
	go func() {
		_, err := tr.Write(make([]byte, 2*writePiece+1), func() { parts++ })
		done <- err
	}()
	_, err := io.CopyN(io.Discard, b, 2*writePiece+1)
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.Equal(t, 3, parts)
	require.NoError(t, tr.Close())
	n, err := tr.Write([]byte("x"), func() { t.Error("nothing was written") })
	require.Zero(t, n)
	require.Error(t, err)
}

// After an interruption and Resume the same connection is read on.
func TestInterruptAndResume(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"a plain socket": func(c net.Conn) net.Conn { return c },
		"any connection": func(c net.Conn) net.Conn { return struct{ net.Conn }{c} },
	} {
		t.Run(name, func(t *testing.T) {
			peer, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			defer peer.Close()
			conn, err := ln.Accept()
			require.NoError(t, err)
			defer conn.Close()
			tr := New(wrap(conn), nil).(Reader)
			got := ""
			consume := func(p []byte) error { got += string(p); return nil }

			require.NoError(t, tr.Interrupt())
			require.ErrorIs(t, tr.Read(receiverFunc(consume)), ErrInterrupted)
			require.NoError(t, tr.Resume())
			_, err = peer.Write([]byte("hello"))
			require.NoError(t, err)
			for len(got) < len("hello") {
				require.NoError(t, tr.Read(receiverFunc(consume)))
			}
			require.Equal(t, "hello", got)
			require.NoError(t, peer.Close())
			require.ErrorIs(t, tr.Read(receiverFunc(consume)), io.EOF)
		})
	}
}

// spaceReceiver has memory for the first bytes.
type spaceReceiver struct {
	space []byte
	calls int
	got   []byte
}

func (r *spaceReceiver) Space() []byte { r.calls++; return r.space }

func (r *spaceReceiver) Receive(p []byte) error {
	r.got, r.space = p, nil
	return nil
}

// Bytes are read into the memory of the Receiver, as long as it has some.
func TestReadIntoSpace(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"a plain socket": func(c net.Conn) net.Conn { return c },
		"any connection": func(c net.Conn) net.Conn { return struct{ net.Conn }{c} },
	} {
		t.Run(name, func(t *testing.T) {
			peer, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			defer peer.Close()
			conn, err := ln.Accept()
			require.NoError(t, err)
			defer conn.Close()
			tr := New(wrap(conn), nil).(Reader)
			memory := make([]byte, 5)
			r := &spaceReceiver{space: memory}
			read := make(chan error, 1)
			go func() { read <- tr.Read(r) }()
			_, err = peer.Write([]byte("hello, world"))
			require.NoError(t, err)
			require.NoError(t, <-read)
			require.NotEmpty(t, r.got)
			require.Same(t, &memory[0], &r.got[0])
			got := string(r.got)
			for len(got) < len("hello, world") {
				require.NoError(t, tr.Read(r))
				require.NotSame(t, &memory[0], &r.got[0])
				got += string(r.got)
			}
			require.Equal(t, "hello, world", got)
			require.NoError(t, peer.Close())
			require.ErrorIs(t, tr.Read(r), io.EOF)
		})
	}
}

// receiverFunc is a Receiver without memory of its own.
type receiverFunc func(p []byte) error

func (f receiverFunc) Space() []byte          { return nil }
func (f receiverFunc) Receive(p []byte) error { return f(p) }

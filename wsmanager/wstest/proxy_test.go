package wstest_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// throughProxy returns a proxy and the two ends of a connection through it.
func throughProxy(t *testing.T) (p *wstest.Proxy, client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	p, err = wstest.ListenProxy(ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, dialProxy(t, p), acceptFrom(t, ln)
}

func dialProxy(t *testing.T, p *wstest.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	return prepared(t, conn)
}

func acceptFrom(t *testing.T, ln net.Listener) *net.TCPConn {
	t.Helper()
	conn, err := ln.Accept()
	require.NoError(t, err)
	return prepared(t, conn)
}

func prepared(t *testing.T, conn net.Conn) *net.TCPConn {
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	return conn.(*net.TCPConn)
}

// A Fault without a Cut changes no byte, in either direction.
func TestProxyPassesOn(t *testing.T) {
	for name, f := range map[string]wstest.Fault{
		"as it comes":  {},
		"delayed":      {Delay: 10 * time.Millisecond},
		"single bytes": {Piece: 1},
		"coalesced":    {Coalesce: 10 * time.Millisecond},
		"throttled":    {Rate: 500_000},
		"all of it":    {Delay: 3 * time.Millisecond, Piece: 700, Coalesce: 5 * time.Millisecond, Rate: 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, client, server := throughProxy(t)
			p.Up(f)
			p.Down(f)
			require.Eventually(t, func() bool { return p.Len() == 1 }, wstest.Patience, time.Millisecond)
			sent := make([]byte, 50_000)
			_, _ = rand.Read(sent) // never fails, by its documentation
			for _, way := range [][2]*net.TCPConn{{client, server}, {server, client}} {
				done := make(chan error, 1)
				began := time.Now()
				go func() {
					_, err := way[0].Write(sent)
					done <- errors.Join(err, way[0].CloseWrite())
				}()
				got, err := io.ReadAll(way[1])
				require.NoError(t, err)
				require.NoError(t, <-done)
				require.True(t, bytes.Equal(sent, got))
				require.GreaterOrEqual(t, time.Since(began), max(f.Delay, f.Coalesce))
				if f.Rate > 0 {
					require.Greater(t, time.Since(began).Seconds(), float64(len(sent))/float64(f.Rate)*0.8)
				}
			}
			require.Eventually(t, func() bool { return p.Len() == 0 }, wstest.Patience, time.Millisecond)
		})
	}
}

func TestProxyCuts(t *testing.T) {
	send := func(t *testing.T, c net.Conn, s string) {
		t.Helper()
		_, err := io.WriteString(c, s)
		require.NoError(t, err)
	}
	expect := func(t *testing.T, c net.Conn, s string) {
		t.Helper()
		got := make([]byte, len(s))
		_, err := io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, s, string(got))
	}
	nothing := func(t *testing.T, c net.Conn) {
		t.Helper()
		require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(wstest.Patience)))
	}
	t.Run("reset within the bytes", func(t *testing.T) {
		p, client, server := throughProxy(t)
		p.Up(wstest.Fault{Cut: wstest.CutReset, After: 3})
		send(t, client, "12345")
		got, err := io.ReadAll(server)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.LessOrEqual(t, len(got), 3, "a reset may overtake bytes in flight")
		_, err = client.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
	t.Run("reset while nothing is sent", func(t *testing.T) {
		p, client, server := throughProxy(t)
		send(t, client, "x")
		expect(t, server, "x")
		p.Down(wstest.Fault{Cut: wstest.CutReset})
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = server.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
	t.Run("a reset is passed on", func(t *testing.T) {
		_, client, server := throughProxy(t)
		require.NoError(t, client.SetLinger(0))
		require.NoError(t, client.Close())
		_, err := server.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
	t.Run("half-close", func(t *testing.T) {
		p, client, server := throughProxy(t)
		p.Up(wstest.Fault{Cut: wstest.CutHalfClose, After: 2})
		send(t, client, "12345")
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Equal(t, "12", string(got))
		send(t, server, "still there")
		expect(t, client, "still there")
	})
	t.Run("a black hole", func(t *testing.T) {
		p, client, server := throughProxy(t)
		p.Up(wstest.Fault{Cut: wstest.CutBlackhole, After: 2})
		send(t, client, "12345")
		expect(t, server, "12")
		for range 100 {
			send(t, client, string(make([]byte, 50_000))) // never blocks
		}
		require.NoError(t, client.Close())
		nothing(t, server)
	})
	t.Run("stalled, then continued", func(t *testing.T) {
		p, client, server := throughProxy(t)
		p.Up(wstest.Fault{Cut: wstest.CutStall, After: 2})
		send(t, client, "12345")
		expect(t, server, "12")
		nothing(t, server)
		p.Up(wstest.Fault{})
		expect(t, server, "345")
	})
	t.Run("stalled, until the sender blocks", func(t *testing.T) {
		p, client, _ := throughProxy(t)
		p.Up(wstest.Fault{Cut: wstest.CutStall})
		require.NoError(t, client.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		var err error
		for err == nil {
			_, err = client.Write(make([]byte, 1<<20))
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
	t.Run("all at once", func(t *testing.T) {
		p, client, server := throughProxy(t)
		send(t, client, "x")
		expect(t, server, "x")
		p.Reset()
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

// Without a server, clients are reset and Close leaves nothing behind.
func TestProxyWithoutAServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	p, err := wstest.ListenProxy("http://" + ln.Addr().String() + "/ws")
	require.NoError(t, err)
	client, err := net.Dial("tcp", p.Addr())
	if err == nil { // the reset may come later
		_, err = client.Read(make([]byte, 1))
		_ = client.Close()
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, p.Close())
	_, err = net.Dial("tcp", p.Addr())
	require.Error(t, err)
}

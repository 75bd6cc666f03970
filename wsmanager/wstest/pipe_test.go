package wstest_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestPipeCarries(t *testing.T) {
	for _, buffer := range []int{0, 1, 7, 1 << 20} {
		client, server := wstest.Pipe(buffer)
		want := bytes.Repeat([]byte("0123456789"), 10_000)
		go func() {
			_, _ = client.Write(want)
			_ = client.CloseWrite() // can't fail
		}()
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "buffer %d", buffer)

		_, err = server.Write([]byte("o")) // the other direction is still open
		require.NoError(t, err)
		require.NoError(t, server.Close())
		got, err = io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, "o", string(got), "bytes written before Close arrive")
	}
}

// A write waits once the buffer is full, and continues as the buffer is read.
func TestPipeHoldsSoManyBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wstest.Pipe(10)
		n, written := 0, make(chan struct{})
		go func() {
			defer close(written)
			n, _ = server.Write(make([]byte, 25))
		}()
		synctest.Wait()
		require.Equal(t, 10, client.Unread())
		_, err := client.Read(make([]byte, 4))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 10, client.Unread(), "as many bytes have followed")
		_, err = io.ReadFull(client, make([]byte, 11))
		require.NoError(t, err)
		<-written
		require.Equal(t, 25, n)
		require.Equal(t, 10, client.Unread())
	})
}

// Concurrent writes don't interleave.
func TestPipeWritesAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wstest.Pipe(3)
		for _, c := range "abcd" {
			go func() { _, _ = server.Write(bytes.Repeat([]byte{byte(c)}, 100)) }()
		}
		got := make([]byte, 400)
		_, err := io.ReadFull(client, got)
		require.NoError(t, err)
		for i := 0; i < 400; i += 100 {
			require.Equal(t, bytes.Repeat(got[i:i+1], 100), got[i:i+100])
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wstest.Pipe(1)
		start := time.Now()
		require.NoError(t, client.SetReadDeadline(start.Add(time.Minute)))
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.Equal(t, time.Minute, time.Since(start))
		_, err = client.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "until another is set")

		require.NoError(t, server.SetWriteDeadline(time.Now().Add(time.Minute)))
		n, err := server.Write([]byte("abc"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 1, n, "the bytes in its buffer")

		// A deadline that was moved does not fire at its old time.
		require.NoError(t, client.SetDeadline(time.Now().Add(time.Second)))
		require.NoError(t, client.SetDeadline(time.Time{}))
		time.Sleep(time.Hour)
		_, err = client.Read(make([]byte, 1))
		require.NoError(t, err)

		// A deadline in the past ends a running read; http.Server hands a connection over
		// this way.
		go func() { time.Sleep(time.Second); _ = client.SetReadDeadline(time.Unix(1, 0)) }()
		_, err = client.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestPipeEnds(t *testing.T) {
	for _, tt := range []struct {
		name        string
		end         func(client *wstest.PipeConn)
		read, write string // errors of the server's read and write
		own         string // error of the client's read and write
	}{
		{"Close", func(c *wstest.PipeConn) { _ = c.Close() }, "EOF", "broken pipe", "use of closed network connection"},
		{"Reset", func(c *wstest.PipeConn) { c.Reset() }, "connection reset by peer", "connection reset by peer", "connection reset by peer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := wstest.Pipe(1)
				var errs [2]error
				go func() { _, errs[0] = server.Read(make([]byte, 1)) }()
				go func() { _, errs[1] = server.Write(make([]byte, 2)) }()
				synctest.Wait()
				require.Equal(t, [2]error{}, errs)
				tt.end(client)
				synctest.Wait()
				require.ErrorContains(t, errs[0], tt.read)
				require.ErrorContains(t, errs[1], tt.write)
				_, err := client.Write([]byte("x"))
				require.ErrorContains(t, err, tt.own)
				_, err = client.Read(make([]byte, 1))
				require.ErrorContains(t, err, tt.own)
			})
		})
	}
}

func TestListener(t *testing.T) {
	ln := wstest.Listen(0)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
		}
	}()
	c, err := ln.Dial()
	require.NoError(t, err)
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.NoError(t, err)
	require.Equal(t, ln.Addr().String(), c.RemoteAddr().String())
	_, _, err = net.SplitHostPort(c.LocalAddr().String())
	require.NoError(t, err)

	require.NoError(t, ln.Close())
	require.NoError(t, ln.Close())
	_, err = ln.Dial()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	require.NoError(t, err, "connections stay")
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "again is fine")
}

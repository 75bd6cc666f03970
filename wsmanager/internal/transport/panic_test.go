package transport

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// faulty is a connection whose methods panic.
type faulty struct{ net.Conn }

func (faulty) Read([]byte) (int, error)          { panic("oops") }
func (faulty) Write([]byte) (int, error)         { panic("oops") }
func (faulty) SetReadDeadline(_ time.Time) error { panic("oops") }
func (faulty) SetDeadline(_ time.Time) error     { panic("oops") }
func (faulty) Close() error                      { panic("oops") }
func (faulty) CloseWrite() error                 { panic("oops") }
func (faulty) RemoteAddr() net.Addr              { panic("oops") }

func TestPanicsBecomeErrors(t *testing.T) {
	remote := &net.TCPAddr{Port: 1}
	tr := New(faulty{}, remote)
	require.Same(t, remote, tr.RemoteAddr())
	require.Empty(t, (&netConn{conn: faulty{}}).RemoteAddr().String())
	for method, call := range map[string]func() error{
		"Read":            func() error { return tr.(Reader).Read(receiverFunc(func([]byte) error { return nil })) },
		"Write":           func() error { _, err := tr.(BlockingWriter).Write([]byte("x"), func() {}); return err },
		"SetReadDeadline": tr.Interrupt,
		"CloseWrite":      tr.CloseWrite,
		"Close":           tr.Close,
	} {
		t.Run(method, func(t *testing.T) {
			err := call()
			require.EqualError(t, err, "wsmanager: "+method+" of a transport.faulty panicked: oops")
			require.Contains(t, string(AsPanic(err).Stack), "faulty."+method)
		})
	}
	require.Error(t, tr.(Reader).Resume())
}

// miscounts is a connection that reads and writes more bytes than there are, or fewer than none.
type miscounts struct {
	net.Conn
	n int
}

func (c miscounts) Read([]byte) (int, error)  { return c.n, nil }
func (c miscounts) Write([]byte) (int, error) { return c.n, nil }

// They would end the process if they made a writer panic, because it has its own goroutine.
func TestInvalidCountsAreErrors(t *testing.T) {
	for name, n := range map[string]int{"too many": readBufferSize + 1, "negative": -1} {
		t.Run(name, func(t *testing.T) {
			tr := New(miscounts{n: n}, &net.TCPAddr{})
			written, err := tr.(BlockingWriter).Write([]byte("x"), func() { t.Error("no progress") })
			require.Zero(t, written)
			require.EqualError(t, err, fmt.Sprintf("wsmanager: Write of a transport.miscounts panicked: its count of 1 bytes is %d", n))
			err = tr.(Reader).Read(receiverFunc(func([]byte) error { t.Error("no bytes"); return nil }))
			require.EqualError(t, err, fmt.Sprintf("wsmanager: Read of a transport.miscounts panicked: its count of %d bytes is %d", idleBufferSize, n))
		})
	}
}

// A write of nothing without an error would be repeated without end, and count as progress.
func TestWritesOfNothingAreErrors(t *testing.T) {
	_, err := New(miscounts{n: 0}, &net.TCPAddr{}).(BlockingWriter).Write([]byte("x"), func() { t.Error("no progress") })
	require.ErrorIs(t, err, io.ErrShortWrite)
}

// readable is a connection that always has a byte to read.
type readable struct{ net.Conn }

func (readable) Read(p []byte) (int, error) { return copy(p, "x"), nil }

// The driver reports a panic of the code that handles the bytes.
func TestPanicsOfConsumersAreNotRecovered(t *testing.T) {
	require.PanicsWithValue(t, "oops", func() {
		_ = (&netConn{conn: readable{}}).Read(receiverFunc(func([]byte) error { panic("oops") }))
	})
}

// A connection whose Close fails to close it is not read any more.
func TestReadsEndAfterACloseThatPanics(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	tr := &netConn{conn: closeFails{ours}}
	done := make(chan error, 1)
	go func() { done <- tr.Read(receiverFunc(func([]byte) error { return nil })) }()
	require.NotNil(t, AsPanic(tr.Close()))
	require.ErrorIs(t, <-done, net.ErrClosed)
	require.ErrorIs(t, tr.Read(receiverFunc(func([]byte) error { return nil })), net.ErrClosed)
}

type closeFails struct{ net.Conn }

func (closeFails) Close() error { panic("oops") }

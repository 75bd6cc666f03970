package wstest

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Memory is how a connection without a socket is made. The zero value is good.
type Memory struct {
	// Buffer is how many bytes each direction holds that were not read; see
	// [Pipe]. Default: DefaultBuffer.
	Buffer int

	// Patience is how long the Client waits for anything. In a testing/synctest
	// bubble let it be longer than what is waited for: it costs no time there.
	// Default: the constant Patience.
	Patience time.Duration
}

// DialHandler is [Dial] for a handler, without a socket: net/http serves the
// handler at the other end of a [Pipe], so that it sees what it would see behind a
// port, upgrades included. It works inside a testing/synctest bubble, where
// pings, time-outs and deadlines of minutes take no time; what it starts ends with
// the test.
//
// target is a path, "/chat?room=1", or a URL with the host that the handler is to
// see. Two connections are two calls with one handler. A server with settings of
// its own: [Listen].
func DialHandler(t testing.TB, h http.Handler, target string, header http.Header, opts Memory) *Client {
	t.Helper()
	req := Request(t, target)
	for name, values := range header {
		req.Header[name] = values
	}
	c := HandshakeHandler(t, h, req, nil, opts)
	c.mustUpgrade(target)
	return c
}

// HandshakeHandler is [Handshake] for a handler, without a socket; see
// [DialHandler].
func HandshakeHandler(t testing.TB, h http.Handler, req *http.Request, early []byte, opts Memory) *Client {
	t.Helper()
	ln := Listen(opts.Buffer)
	srv := &http.Server{Handler: h}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln) // http.ErrServerClosed, at the end of the test
	}()
	t.Cleanup(func() {
		_ = srv.Close() // a Listener closes without error
		<-served
	})
	conn, err := ln.Dial()
	if err != nil {
		t.Fatalf("wstest: %v", err)
	}
	return handshake(t, conn, req, early, opts.Patience)
}

// Listen makes a listener in memory, for a server of the test's own; each of its
// connections is a [Pipe] with this buffer. Speak WebSocket over one with
// [HandshakeOn]:
//
//	ln := wstest.Listen(0)
//	go pipeline.ServeListener(ctx, ln, srv, chat.Shutdown)
//	conn, err := ln.Dial()
//	c := wstest.HandshakeOn(t, conn, wstest.Request(t, "/chat"), nil)
func Listen(buffer int) *Listener {
	return &Listener{buffer: buffer, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Listener is a net.Listener in memory.
type Listener struct {
	buffer int
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Dial connects to the listener; it returns when the connection was accepted, or
// net.ErrClosed.
func (l *Listener) Dial() (*PipeConn, error) {
	client, server := Pipe(l.buffer)
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, opError("dial", net.ErrClosed)
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, opError("accept", net.ErrClosed)
	}
}

// Close implements net.Listener. Connections stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}
}

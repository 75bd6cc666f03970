package wstest

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Memory configures a connection without a socket. The zero value has the defaults.
type Memory struct {
	// Buffer is the number of unread bytes that each direction holds; see [Pipe]. Default:
	// DefaultBuffer.
	Buffer int

	// Patience is the time limit of the Client's calls. In a testing/synctest bubble make
	// it longer than any wait of the test: waiting takes no time in a bubble. Default: the
	// constant Patience.
	Patience time.Duration
}

// DialHandler is [Dial] for a handler, without a socket: net/http serves the handler at the
// other end of a [Pipe], so the handler runs as behind a port, upgrades included. It works
// inside a testing/synctest bubble, where pings, timeouts and deadlines of minutes take no
// time. Everything that it starts ends with the test.
//
// target is a path such as "/chat?room=1", or a URL with the host that the handler should
// see. For two connections call it twice with the same handler. For a server with its own
// settings use [Listen].
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
		_ = srv.Close() // closing a Listener can't fail
		<-served
	})
	conn, err := ln.Dial()
	if err != nil {
		t.Fatalf("wstest: %v", err)
	}
	return handshake(t, conn, req, early, opts.Patience)
}

// Listen returns a listener in memory, for a server that the test configures. Each
// connection is a [Pipe] with the given buffer. Use [HandshakeOn] for a WebSocket over one:
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

// Dial connects to the listener. It returns when the connection has been accepted, or
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

// Close implements net.Listener. Connections stay open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}
}

// Package extconnect checks whether net/http's HTTP/2 server offers extended CONNECT (RFC
// 8441).
package extconnect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// ErrDisabled is returned by Check if extended CONNECT is not offered.
var ErrDisabled = errors.New(`net/http offers no extended CONNECT (RFC 8441) over HTTP/2 in this process: import _ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect" in package main, or start the process with GODEBUG=http2xconnect=1 (http2xconnect=0 there keeps it off)`)

// Check returns nil if net/http offers extended CONNECT, and ErrDisabled if it does not.
// The answer can't change, so it is determined once.
var Check = sync.OnceValue(check)

// checkTimeout is far longer than an exchange in memory takes.
const checkTimeout = 10 * time.Second

// check connects to an HTTP/2 server in memory: only the settings that a browser would get
// are reliable, however the server came to them.
func check() error {
	client, server := net.Pipe()
	ln := &listener{conn: server, closed: make(chan struct{})}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: checkTimeout, Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln) // http.ErrServerClosed
	}()
	defer func() {
		_ = srv.Close() // cannot fail for a pipe
		_ = client.Close()
		<-served
	}()
	_ = client.SetDeadline(time.Now().Add(checkTimeout)) // a pipe supports deadlines
	on, err := readEnableConnect(client)
	if err != nil {
		return fmt.Errorf("checking whether net/http offers extended CONNECT over HTTP/2: %w", err)
	}
	if !on {
		return ErrDisabled
	}
	return nil
}

const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113, section 3.4

	frameSettings        = 0x4
	enableConnectSetting = 0x8 // RFC 8441, section 3
)

// readEnableConnect starts an HTTP/2 connection and reads the server's settings.
func readEnableConnect(conn net.Conn) (on bool, err error) {
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(append([]byte(preface), 0, 0, 0, frameSettings, 0, 0, 0, 0, 0))
		sent <- err
	}()
	var head [9]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return false, err
	}
	if head[3] != frameSettings {
		return false, fmt.Errorf("the first frame has type %#x and is not a SETTINGS frame", head[3])
	}
	settings := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		return false, err
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == enableConnectSetting {
			on = binary.BigEndian.Uint32(settings[2:]) == 1
		}
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // further frames, until the pipe is closed
	return on, <-sent
}

// listener accepts one connection.
type listener struct {
	conn   net.Conn // nil once accepted
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

package h2test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// streamWindow is the number of bytes that the server may send on a stream before the
	// test reads them. It is smaller than a browser's, so that a server notices a stream
	// that the test does not read after few bytes.
	streamWindow = 256 << 10
	// connWindow is the connection's window. It is restored as bytes arrive, so that a
	// stream that the test does not read does not block others.
	connWindow = 1 << 20
	// initialWindow is the initial size of both windows (RFC 9113, 6.9.2).
	initialWindow = 65535
	// minFrameSize is the frame size that both sides accept by default (RFC 9113, 4.2); the
	// server may allow more.
	minFrameSize = 16384
	// queueLimit is the number of queued bytes of frames above which Write waits.
	queueLimit = 64 << 10
	// closeTimeout is the time that Close waits for the queue to be written.
	closeTimeout = time.Second
)

// ErrNotOffered is returned by [Conn.Open] for a :protocol if the server's settings
// don't have SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, section 3).
var ErrNotOffered = errors.New("h2test: the server offers no extended CONNECT")

// ErrClosed is the error of a Conn after [Conn.Close].
var ErrClosed = errors.New("h2test: the connection is closed")

// Conn is the client's end of an HTTP/2 connection. Its methods are safe for concurrent
// use.
type Conn struct {
	conn   net.Conn
	reader chan struct{} // closed when the reading goroutine has returned
	writer chan struct{} // closed when the writing goroutine has returned

	mu      sync.Mutex
	settled sync.Cond // signalled when the server's settings are known or the connection has ended
	queued  sync.Cond // signalled when there are bytes to write or the connection has ended
	drained sync.Cond // signalled when the queue was taken or the connection has ended

	// mu guards the fields below.
	queue       bytes.Buffer // frames to write: the Framer writes here
	fr          *http2.Framer
	headerBlock bytes.Buffer // encoded header block of one header
	enc         *hpack.Encoder
	streams     map[uint32]*Stream
	last        uint32 // id of the newest stream
	hasSettings bool   // the server's settings have arrived
	settings    map[http2.SettingID]uint32
	send        int64  // bytes that the server accepts on the connection
	receive     int64  // bytes that the server may send on the connection
	lastKept    uint32 // last stream that a GOAWAY keeps
	err         error  // cause of the connection's end
}

// New starts HTTP/2 on a connection: plain TCP ("with prior knowledge"), TLS that has
// negotiated h2, or one in memory. The Conn owns it from then on. New does not wait for the
// server; Open does.
func New(conn net.Conn) *Conn {
	c := &Conn{
		conn:     conn,
		reader:   make(chan struct{}),
		writer:   make(chan struct{}),
		streams:  map[uint32]*Stream{},
		settings: map[http2.SettingID]uint32{},
		send:     initialWindow,
		receive:  connWindow,
		lastKept: 1<<31 - 1,
	}
	c.settled.L, c.queued.L, c.drained.L = &c.mu, &c.mu, &c.mu
	c.fr = http2.NewFramer(&c.queue, bufio.NewReader(conn))
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.SetMaxReadFrameSize(minFrameSize)
	c.enc = hpack.NewEncoder(&c.headerBlock)
	c.queue.WriteString(http2.ClientPreface)
	// A Framer that writes to a buffer fails only for invalid frames, and none is written
	// here.
	_ = c.fr.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
	)
	_ = c.fr.WriteWindowUpdate(0, connWindow-initialWindow)
	go c.read()
	go c.write()
	return c
}

// Close ends the connection. It sends the queued frames for up to a second; open streams
// fail with [ErrClosed]. It returns when both goroutines have ended.
func (c *Conn) Close() {
	c.mu.Lock()
	c.failLocked(ErrClosed)
	c.mu.Unlock()
	<-c.writer
	<-c.reader
}

// failLocked ends the connection. The writing goroutine sends the queue and closes the
// socket, which ends the reading goroutine.
func (c *Conn) failLocked(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	for _, s := range c.streams {
		s.failLocked(err)
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // a closed socket reports an error when it is written to
	c.settled.Broadcast()
	c.queued.Broadcast()
	c.drained.Broadcast()
}

// write runs on the writing goroutine.
func (c *Conn) write() {
	defer close(c.writer)
	defer c.conn.Close()
	var p []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for c.queue.Len() == 0 && c.err == nil {
			c.queued.Wait()
		}
		if c.queue.Len() == 0 {
			return
		}
		p = append(p[:0], c.queue.Bytes()...)
		c.queue.Reset()
		c.drained.Broadcast()
		c.mu.Unlock()
		_, err := c.conn.Write(p)
		c.mu.Lock()
		if err != nil {
			c.failLocked(fmt.Errorf("h2test: writing: %w", err))
			return
		}
	}
}

// checkLocked returns an error if no stream can be opened.
func (c *Conn) checkLocked(extended bool) error {
	limit, limited := c.settings[http2.SettingMaxConcurrentStreams]
	switch {
	case c.err != nil:
		return c.err
	case c.lastKept < 1<<31-1:
		return errGoneAway
	case extended && c.settings[http2.SettingEnableConnectProtocol] != 1:
		return ErrNotOffered
	case limited && len(c.streams) >= int(limit):
		return fmt.Errorf("h2test: the server allows %d streams at once", limit)
	}
	return nil
}

var errGoneAway = errors.New("h2test: the server accepts no more streams (GOAWAY)")

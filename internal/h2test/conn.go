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
	// streamWindow is how many bytes the server may send on a stream before the test
	// reads them. It is smaller than a browser's, so that a server notices a stream that
	// the test doesn't read after few bytes.
	streamWindow = 256 << 10
	// connWindow is the connection's. It is given back as bytes arrive, so that a
	// stream which the test doesn't read holds up no other.
	connWindow = 1 << 20
	// initialWindow is what both have until they are told otherwise (RFC 9113, 6.9.2).
	initialWindow = 65535
	// minFrameSize is the size of a frame that both sides take (RFC 9113, 4.2); the server
	// may allow more.
	minFrameSize = 16384
	// queueLimit is how many bytes of frames wait for the connection before Write waits.
	queueLimit = 64 << 10
	// closeTimeout is how long Close waits until the queue is written.
	closeTimeout = time.Second
)

// ErrNotOffered is returned by [Conn.Open] for a :protocol if the server's settings
// don't have SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, section 3).
var ErrNotOffered = errors.New("h2test: the server offers no extended CONNECT")

// ErrClosed is the error of a Conn after [Conn.Close].
var ErrClosed = errors.New("h2test: the connection is closed")

// Conn is the client's end of a connection of HTTP/2. Its methods may be called by
// any goroutine.
type Conn struct {
	conn   net.Conn
	reader chan struct{} // closed when the reading goroutine has returned
	writer chan struct{} // and the writing one

	mu      sync.Mutex
	settled sync.Cond // the server's settings are known, or the connection has ended
	queued  sync.Cond // there is something to write, or the connection has ended
	drained sync.Cond // the queue was taken, or the connection has ended

	// What follows is guarded by mu.
	queue    bytes.Buffer // frames to write: the Framer writes here
	fr       *http2.Framer
	block    bytes.Buffer // of one header
	enc      *hpack.Encoder
	streams  map[uint32]*Stream
	last     uint32 // id of the newest stream
	known    bool   // the server's settings are
	settings map[http2.SettingID]uint32
	send     int64  // bytes that the server takes on the connection
	receive  int64  // bytes that the server may send on it
	goneAway uint32 // the last stream that a GOAWAY lets live
	err      error  // the connection has ended, and why
}

// New begins HTTP/2 on a connection: plain TCP ("with prior knowledge"), TLS that has
// agreed on h2, or one in memory. The Conn owns it from then on. New doesn't wait for
// the server; Open does.
func New(conn net.Conn) *Conn {
	c := &Conn{
		conn:     conn,
		reader:   make(chan struct{}),
		writer:   make(chan struct{}),
		streams:  map[uint32]*Stream{},
		settings: map[http2.SettingID]uint32{},
		send:     initialWindow,
		receive:  connWindow,
		goneAway: 1<<31 - 1,
	}
	c.settled.L, c.queued.L, c.drained.L = &c.mu, &c.mu, &c.mu
	c.fr = http2.NewFramer(&c.queue, bufio.NewReader(conn))
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.SetMaxReadFrameSize(minFrameSize)
	c.enc = hpack.NewEncoder(&c.block)
	c.queue.WriteString(http2.ClientPreface)
	// A Framer whose writer is a buffer fails for invalid frames only. None is written.
	_ = c.fr.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
	)
	_ = c.fr.WriteWindowUpdate(0, connWindow-initialWindow)
	go c.read()
	go c.write()
	return c
}

// Close ends the connection. It sends the frames that are queued, for up to a second;
// open streams fail with [ErrClosed]. It returns when both goroutines have ended.
func (c *Conn) Close() {
	c.mu.Lock()
	c.failLocked(ErrClosed)
	c.mu.Unlock()
	<-c.writer
	<-c.reader
}

// failLocked ends the connection. The writing goroutine sends what is queued and
// closes the socket, which ends the reading one.
func (c *Conn) failLocked(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	for _, s := range c.streams {
		s.failLocked(err)
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // a closed socket says so when it is written to
	c.settled.Broadcast()
	c.queued.Broadcast()
	c.drained.Broadcast()
}

// write is the writing goroutine.
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

// checkLocked returns why no stream can be opened.
func (c *Conn) checkLocked(extended bool) error {
	limit, limited := c.settings[http2.SettingMaxConcurrentStreams]
	switch {
	case c.err != nil:
		return c.err
	case c.goneAway < 1<<31-1:
		return errGoneAway
	case extended && c.settings[http2.SettingEnableConnectProtocol] != 1:
		return ErrNotOffered
	case limited && len(c.streams) >= int(limit):
		return fmt.Errorf("h2test: the server allows %d streams at once", limit)
	}
	return nil
}

var errGoneAway = errors.New("h2test: the server takes no more streams (GOAWAY)")

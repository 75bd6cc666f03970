package wstest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy is a TCP proxy on loopback that simulates a bad network, for tests of servers and
// clients. Each direction of its connections has a [Fault] that can be changed while they
// run. It does not interpret the bytes, so TLS passes through it too.
//
//	proxy, err := wstest.ListenProxy(srv.URL)
//	…
//	proxy.Down(wstest.Fault{Rate: 1000})                          // a client that reads slowly
//	proxy.Up(wstest.Fault{After: 700, Cut: wstest.CutReset})      // reset within its 701st byte
//	c := wstest.Dial(t, proxy.URL(), nil)
//
// Its methods are safe for concurrent use.
type Proxy struct {
	ln     net.Listener
	target string
	wg     sync.WaitGroup

	up, down atomic.Pointer[faultSetting]

	mu     sync.Mutex // guards the fields below
	closed bool
	links  map[*link]struct{}
}

// Fault is the disturbance of one direction of a [Proxy]'s connections. The zero value
// passes bytes on unchanged.
type Fault struct {
	// Delay is the time by which everything arrives later. The order stays.
	Delay time.Duration

	// Piece is the maximum number of bytes that are passed on in one write: 1 for single
	// bytes. Default: no limit.
	Piece int

	// Coalesce is the time for which bytes are collected before they are passed on in one
	// write.
	Coalesce time.Duration

	// Rate is the maximum number of bytes per second. Default: no limit.
	Rate int

	// Cut happens once After bytes of a connection have been passed on in this direction,
	// at once if they already have.
	Cut   Cut
	After int64
}

// Cut is the way in which a [Fault] ends a direction.
type Cut uint8

const (
	// CutNone does not end the direction.
	CutNone Cut = iota

	// CutStall stops reading and passing on, like a peer that does not read: its sender
	// blocks when all buffers are full. It ends when the Fault is changed.
	CutStall

	// CutBlackhole keeps reading but passes nothing on, permanently, not even the end. It
	// is like a cut cable, except that the sender's bytes are acknowledged.
	CutBlackhole

	// CutHalfClose ends this direction gracefully and permanently; the other direction
	// continues.
	CutHalfClose

	// CutReset resets the connection at both ends.
	CutReset
)

// faultSetting is a Fault that is valid until it is changed.
type faultSetting struct {
	Fault
	changed chan struct{} // closed when the next one is set
}

// ListenProxy starts a Proxy for the target, a URL or "host:port". Close ends it.
func ListenProxy(target string) (*Proxy, error) {
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		target = u.Host
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wstest: %w", err)
	}
	p := &Proxy{ln: ln, target: target, links: map[*link]struct{}{}}
	p.up.Store(&faultSetting{changed: make(chan struct{})})
	p.down.Store(&faultSetting{changed: make(chan struct{})})
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns the address that the Proxy listens on, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// URL returns "http://" followed by Addr.
func (p *Proxy) URL() string { return "http://" + p.Addr() }

// Up sets the Fault for the direction from clients to the server, on present and future
// connections.
func (p *Proxy) Up(f Fault) { set(&p.up, f) }

// Down sets the Fault for the direction from the server to clients, on present and future
// connections.
func (p *Proxy) Down(f Fault) { set(&p.down, f) }

func set(to *atomic.Pointer[faultSetting], f Fault) {
	close(to.Swap(&faultSetting{f, make(chan struct{})}).changed)
}

// Len returns the number of connections.
func (p *Proxy) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Reset resets all present connections at both ends.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Close ends the Proxy with all its connections, and waits until all its goroutines have
// ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.reset()
	}
	p.mu.Unlock()
	err := p.ln.Close()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // for example, no descriptor is free
			continue
		}
		p.wg.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve passes on the bytes of one connection until it has ended.
func (p *Proxy) serve(client *net.TCPConn) {
	conn, err := net.DialTimeout("tcp", p.target, Patience)
	if err != nil {
		_ = client.SetLinger(0) // if it fails, the close is graceful
		_ = client.Close()
		return
	}
	l := &link{client: client, server: conn.(*net.TCPConn), done: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.reset()
	}
	var wg sync.WaitGroup
	wg.Go(func() { (&direction{link: l, from: l.client, to: l.server, setting: &p.up}).run() })
	wg.Go(func() { (&direction{link: l, from: l.server, to: l.client, setting: &p.down}).run() })
	wg.Wait()
	l.end(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// link is one connection through a Proxy.
type link struct {
	client, server *net.TCPConn

	once sync.Once
	done chan struct{} // closed when the connection has ended
}

func (l *link) reset() { l.end(true) }

func (l *link) end(reset bool) {
	l.once.Do(func() {
		close(l.done)
		for _, c := range []*net.TCPConn{l.client, l.server} {
			if reset {
				_ = c.SetLinger(0) // if it fails, the close is graceful
			}
			_ = c.Close()
		}
	})
}

// direction is one direction of a link.
type direction struct {
	*link
	from, to *net.TCPConn
	setting  *atomic.Pointer[faultSetting]

	queue  chan arrival // from the reader to the writer
	bytes  []byte       // to be passed on
	due    time.Time    // time at which bytes may be passed on
	end    *arrival     // follows bytes; nil: more bytes may follow
	passed int64
}

// arrival is the result of one read: bytes, or the end.
type arrival struct {
	p   []byte
	at  time.Time
	err error
}

// run passes bytes on until the direction ends. The number of bytes that it holds is
// bounded, so that a slow reader slows the sender down.
func (d *direction) run() {
	d.queue = make(chan arrival, 8)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(d.read)
	for d.step() {
	}
}

func (d *direction) read() {
	for {
		buf := make([]byte, 8<<10)
		n, err := d.from.Read(buf)
		select {
		case d.queue <- arrival{buf[:n], time.Now(), err}:
		case <-d.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// step does the next action. It returns false after the last.
func (d *direction) step() bool {
	s := d.setting.Load()
	if s.Cut != CutNone && d.passed >= s.After {
		return d.cut(s)
	}
	if len(d.bytes) == 0 {
		if d.end != nil {
			return d.finish(s)
		}
		select {
		case a := <-d.queue:
			d.accept(a, s)
			return true
		case <-s.changed:
			return true
		case <-d.done:
			return false
		}
	}
	if !d.sleep(time.Until(d.due), s) {
		return d.alive()
	}
	if s.Coalesce > 0 {
		d.collect(s)
	}
	n := len(d.bytes)
	if s.Piece > 0 {
		n = min(n, s.Piece)
	}
	if s.Rate > 0 {
		n = min(n, max(1, s.Rate/50))
	}
	if s.Cut != CutNone {
		n = int(min(int64(n), s.After-d.passed))
	}
	if _, err := d.to.Write(d.bytes[:n]); err != nil {
		d.reset()
		return false
	}
	d.bytes, d.passed = d.bytes[n:], d.passed+int64(n)
	if s.Rate > 0 {
		d.due = time.Now().Add(time.Second * time.Duration(n) / time.Duration(s.Rate))
	}
	return true
}

// accept adds an arrival to the bytes to be passed on.
func (d *direction) accept(a arrival, s *faultSetting) {
	if len(d.bytes) == 0 {
		if due := a.at.Add(max(s.Delay, s.Coalesce)); due.After(d.due) { // Rate may delay it further
			d.due = due
		}
	}
	d.bytes = append(d.bytes, a.p...)
	if a.err != nil {
		d.end = &a
	}
}

// collect accepts all arrivals that are queued.
func (d *direction) collect(s *faultSetting) {
	for d.end == nil {
		select {
		case a := <-d.queue:
			d.accept(a, s)
		default:
			return
		}
	}
}

// finish passes the end on.
func (d *direction) finish(s *faultSetting) bool {
	if !d.sleep(time.Until(d.end.at.Add(s.Delay)), s) {
		return d.alive()
	}
	if d.end.err == io.EOF {
		_ = d.to.CloseWrite() // an error means that the peer is gone
	} else {
		d.reset()
	}
	return false
}

// cut ends the direction as the Fault requires.
func (d *direction) cut(s *faultSetting) bool {
	switch s.Cut {
	case CutStall:
		select {
		case <-s.changed:
			return true
		case <-d.done:
		}
	case CutReset:
		d.reset()
	case CutHalfClose:
		_ = d.to.CloseWrite() // an error means that the peer is gone
		d.discard(true)
	case CutBlackhole:
		d.discard(false)
	}
	return false
}

// discard drops arriving bytes until the end of the direction, or of the link.
func (d *direction) discard(untilEnd bool) {
	for {
		select {
		case a := <-d.queue:
			if a.err != nil && untilEnd {
				return
			}
		case <-d.done:
			return
		}
	}
}

// sleep waits for t. It returns false if the Fault is changed or the link ends before.
func (d *direction) sleep(t time.Duration, s *faultSetting) bool {
	if t <= 0 {
		return true
	}
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.changed:
	case <-d.done:
	}
	return false
}

func (d *direction) alive() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

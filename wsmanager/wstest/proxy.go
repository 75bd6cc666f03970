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

// Proxy is a TCP proxy on loopback that spoils what goes through it, for tests of what
// servers and clients make of bad networks. Each direction of its connections has its
// own [Fault], which can be changed while they run. It knows nothing of what it passes
// on, so TLS goes through it as well.
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

	up, down atomic.Pointer[setting]

	mu     sync.Mutex // guards what follows
	closed bool
	links  map[*link]struct{}
}

// Fault is what a direction of a [Proxy]'s connections suffers. The zero value is
// nothing: bytes are passed on as they come.
type Fault struct {
	// Delay is how much later everything arrives, in its order.
	Delay time.Duration

	// Piece is how many bytes are passed on in one write at most: 1 for single bytes.
	// Default: as they come.
	Piece int

	// Coalesce is for how long bytes are collected, to be passed on in one write.
	Coalesce time.Duration

	// Rate is how many bytes a second are passed on. Default: all.
	Rate int

	// Cut is what happens once After bytes of a connection were passed on in this
	// direction; at once, if they were already.
	Cut   Cut
	After int64
}

// Cut is an end that a [Fault] makes of a direction.
type Cut uint8

const (
	// CutNone is none.
	CutNone Cut = iota

	// CutStall passes nothing more on and reads nothing either, as a peer does that
	// does not read: its sender feels it when all buffers are full. It ends when the
	// Fault is changed.
	CutStall

	// CutBlackhole reads on and passes nothing on, for good, not even the end: as if
	// a cable were cut, but for what the sender is told.
	CutBlackhole

	// CutHalfClose ends this direction in order, for good; the other goes on.
	CutHalfClose

	// CutReset resets the connection at both ends.
	CutReset
)

// setting is a Fault that holds until it is changed.
type setting struct {
	Fault
	changed chan struct{} // closed with the next
}

// ListenProxy starts a Proxy for the target, a URL or "host:port". It ends with Close.
func ListenProxy(target string) (*Proxy, error) {
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		target = u.Host
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wstest: %w", err)
	}
	p := &Proxy{ln: ln, target: target, links: map[*link]struct{}{}}
	p.up.Store(&setting{changed: make(chan struct{})})
	p.down.Store(&setting{changed: make(chan struct{})})
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is the address that the Proxy listens on, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// URL is "http://" and Addr.
func (p *Proxy) URL() string { return "http://" + p.Addr() }

// Up sets what goes from clients to the server suffers from now on, on the connections
// that there are and on those that come.
func (p *Proxy) Up(f Fault) { set(&p.up, f) }

// Down sets what goes from the server to clients suffers.
func (p *Proxy) Down(f Fault) { set(&p.down, f) }

func set(to *atomic.Pointer[setting], f Fault) {
	close(to.Swap(&setting{f, make(chan struct{})}).changed)
}

// Len is how many connections there are.
func (p *Proxy) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Reset resets all connections that there are, at both ends.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Close ends the Proxy with all its connections, and waits until nothing of it is
// left.
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
			time.Sleep(time.Millisecond) // no descriptor is free, say
			continue
		}
		p.wg.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve passes one connection on until it has ended.
func (p *Proxy) serve(client *net.TCPConn) {
	conn, err := net.DialTimeout("tcp", p.target, Patience)
	if err != nil {
		_ = client.SetLinger(0) // if it fails the close is an orderly one
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
	done chan struct{} // closed when it has ended
}

func (l *link) reset() { l.end(true) }

func (l *link) end(reset bool) {
	l.once.Do(func() {
		close(l.done)
		for _, c := range []*net.TCPConn{l.client, l.server} {
			if reset {
				_ = c.SetLinger(0) // if it fails the close is an orderly one
			}
			_ = c.Close()
		}
	})
}

// direction is one way through a link.
type direction struct {
	*link
	from, to *net.TCPConn
	setting  *atomic.Pointer[setting]

	queue  chan arrival // from the reader to the writer
	bytes  []byte       // that are to be passed on
	due    time.Time    // when they may be
	end    *arrival     // comes behind them; nil: more bytes may
	passed int64
}

// arrival is what one read has brought: bytes, or the end.
type arrival struct {
	p   []byte
	at  time.Time
	err error
}

// run passes bytes on until the end of the direction. What it has read and not passed
// on is bounded, so that a slow reader is felt by the sender.
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

// step does the next thing; false: there is none.
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
			d.take(a, s)
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

// take takes what has arrived.
func (d *direction) take(a arrival, s *setting) {
	if len(d.bytes) == 0 {
		if due := a.at.Add(max(s.Delay, s.Coalesce)); due.After(d.due) { // Rate may want it later
			d.due = due
		}
	}
	d.bytes = append(d.bytes, a.p...)
	if a.err != nil {
		d.end = &a
	}
}

// collect takes what has arrived meanwhile.
func (d *direction) collect(s *setting) {
	for d.end == nil {
		select {
		case a := <-d.queue:
			d.take(a, s)
		default:
			return
		}
	}
}

// finish passes the end on.
func (d *direction) finish(s *setting) bool {
	if !d.sleep(time.Until(d.end.at.Add(s.Delay)), s) {
		return d.alive()
	}
	if d.end.err == io.EOF {
		_ = d.to.CloseWrite() // an error means that there is nobody to tell
	} else {
		d.reset()
	}
	return false
}

// cut ends the direction as the Fault wants it.
func (d *direction) cut(s *setting) bool {
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
		_ = d.to.CloseWrite() // an error means that there is nobody to tell
		d.discard(true)
	case CutBlackhole:
		d.discard(false)
	}
	return false
}

// discard throws away what comes: until its end, or until the link's.
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

// sleep waits, and reports whether it has done so to the end: not if the Fault was
// changed, or the link has ended.
func (d *direction) sleep(t time.Duration, s *setting) bool {
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

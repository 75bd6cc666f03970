//go:build linux

package evloop_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

var churnTime = flag.Duration("churn", time.Second, "how long each churn test lasts")

// Clients come and go all the time, so that descriptors are reused at once, and handlers
// block, kick, write, shut down and give up their sockets at random. Each frame carries the
// number of its client, so that a byte delivered to the wrong client is noticed.
func TestChurn(t *testing.T) {
	for name, row := range map[string]struct {
		opts          evloop.Options
		pair          func(testing.TB) (int, net.Conn)
		toggleBreaker bool // open and close the breaker all the time
	}{
		"unix":                {pair: pair},
		"tcp":                 {pair: tcpPair},
		"always deposed unix": {opts: evloop.DeposingAlways(20 * time.Microsecond), pair: pair},
		"always deposed tcp":  {opts: evloop.DeposingAlways(20 * time.Microsecond), pair: tcpPair},
		"short watchdog":      {opts: evloop.WithWatchdog(200*time.Microsecond, 300*time.Microsecond), pair: pair},
		"breaker toggles":     {opts: evloop.DeposingAlways(time.Millisecond), pair: pair, toggleBreaker: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := &churn{t: t, loop: newLoop(t, row.opts), pair: row.pair}
			stop := make(chan struct{})
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					for rng := rand.New(rand.NewPCG(rand.Uint64(), 0)); !t.Failed(); {
						select {
						case <-stop:
							return
						default:
							w.client(rng)
						}
					}
				})
			}
			all.Go(func() { w.disturb(stop, row.toggleBreaker) })
			time.Sleep(*churnTime)
			close(stop)
			all.Wait()
			eventually(t, func() bool { return w.ended.Load() == w.added.Load() }, "End is called once for each Add")
			eventually(t, func() bool { s := w.loop.Stats(); return s.Sockets == 0 && s.Goroutines == 1 }, "no goroutine or socket is left")
			t.Logf("%d connections, %d frames, %d taken, %+v", w.added.Load(), w.frames.Load(), w.taken.Load(), w.loop.Stats())
			require.Positive(t, w.frames.Load())
			require.Positive(t, w.taken.Load())
		})
	}
}

type churn struct {
	t      *testing.T
	loop   *evloop.Loop
	pair   func(testing.TB) (int, net.Conn)
	added  atomic.Int64
	ended  atomic.Int64
	frames atomic.Int64
	taken  atomic.Int64 // sockets taken from their Data calls

	mu   sync.Mutex // contended by handlers
	live sync.Map   // of *churner that are open
}

// churner is the server's side of one connection. Its plain fields are part of the test:
// the race detector reports calls that are not ordered.
type churner struct {
	evloop.Socket
	w       *churn
	orderly bool
	id      uint64
	seq     uint32
	in      []byte
	rng     *rand.Rand
	over    bool
	beTaken bool
	calls   int // of Data, Kicked and End that are running; not atomic, because that would order them

	mu  sync.Mutex // guards out
	out []byte
}

func (c *churner) enter() func() {
	if c.calls++; c.calls != 1 {
		c.w.t.Error("two calls at once")
	}
	if c.over {
		c.w.t.Error("a call after End")
	}
	return func() { c.calls-- }
}

func (c *churner) Data(p []byte) bool {
	wanted := c.handle(p)
	if !wanted || !c.beTaken {
		return wanted
	}
	c.beTaken = false
	how := c.rng.IntN(4)
	taken := make(chan bool)
	go func() {
		ok := false
		for range 20 { // until the watchdog has deposed the leader
			if ok = c.Take(); ok {
				c.enter()()
				break
			}
			time.Sleep(200 * time.Microsecond)
		}
		taken <- ok
		if ok {
			c.Release()
		}
	}()
	if !<-taken {
		return true
	}
	c.w.taken.Add(1)
	// The connection now belongs to the goroutine that took it. The result of this call is
	// ignored.
	time.Sleep(time.Duration(how) * 700 * time.Microsecond)
	if how == 2 {
		runtime.Goexit()
	}
	return how == 1
}

func (c *churner) handle(p []byte) bool {
	defer c.enter()()
	c.in = append(c.in, p...)
	clear(p)
	for {
		rest, ok, err := takeFrame(c.in, c.id, c.seq)
		if err != nil {
			c.w.t.Errorf("server: %v", err)
			return false
		}
		if !ok {
			return true
		}
		if !c.delay() {
			return false
		}
		size := len(c.in) - len(rest)
		c.send(c.in[:size])
		c.in = append(c.in[:0], rest...)
		c.seq++
		c.w.frames.Add(1)
	}
}

// delay blocks, computes or sleeps at random, as handlers may.
func (c *churner) delay() bool {
	switch n := c.rng.IntN(200); {
	case n < 4:
		time.Sleep(time.Duration(c.rng.IntN(3000)) * time.Microsecond)
	case n < 8:
		c.w.mu.Lock()
		time.Sleep(time.Duration(c.rng.IntN(200)) * time.Microsecond)
		c.w.mu.Unlock()
	case n < 10:
		ch := make(chan struct{})
		go close(ch)
		<-ch
	case n < 14:
		for start := time.Now(); time.Since(start) < time.Duration(c.rng.IntN(300))*time.Microsecond; {
		}
	case n < 18:
		c.Kick()
	case n < 20:
		_ = c.WantWritable()
	case n < 21 && !c.orderly:
		return false
	case n < 22 && !c.orderly:
		c.Shut()
	case n < 23 && !c.orderly:
		panic(errBoom)
	case n < 27:
		c.beTaken = true
	}
	return true
}

func (c *churner) Space() []byte { return nil }

func (c *churner) Kicked() {
	defer c.enter()()
	if c.rng.IntN(10) == 0 {
		time.Sleep(time.Millisecond)
	}
}

func (c *churner) End(error) {
	defer c.enter()()
	c.over = true
	c.w.live.Delete(c)
	if c.rng.IntN(20) == 0 {
		time.Sleep(time.Duration(c.rng.IntN(3000)) * time.Microsecond)
	}
	c.w.ended.Add(1)
}

func (c *churner) send(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	if len(c.out) == 0 {
		n, _ = c.Write(p) // End reports errors
	}
	if c.out = append(c.out, p[n:]...); len(c.out) > 0 {
		_ = c.WantWritable()
	}
}

func (c *churner) Writable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _ := c.Write(c.out)
	if c.out = c.out[n:]; len(c.out) > 0 {
		_ = c.WantWritable()
	}
}

var clientIDs atomic.Uint64

// client runs one connection from dial to close.
func (w *churn) client(rng *rand.Rand) {
	server, conn := w.pair(w.t)
	defer conn.Close()
	id := clientIDs.Add(1)
	c := &churner{w: w, id: id, orderly: rng.IntN(2) == 0, rng: rand.New(rand.NewPCG(id, 1))}
	w.added.Add(1)
	w.live.Store(c, nil)
	if err := w.loop.Add(server, c, &c.Socket); err != nil {
		w.t.Error(err)
		return
	}
	frames := rng.IntN(40)
	maxSize := 1 << (rng.IntN(14) + 1)
	go func() {
		// Pieces whose boundaries are unrelated to the frames.
		var p []byte
		for seq := range uint32(frames) {
			p = appendFrame(p, id, seq, (int(seq)*7919)%maxSize)
		}
		for len(p) > 0 {
			n := min(len(p), 1+(len(p)*31)%(2*maxSize))
			if _, err := conn.Write(p[:n]); err != nil {
				return
			}
			p = p[n:]
		}
	}()
	if rng.IntN(4) == 0 {
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond) // let a backlog grow
	}
	err := w.receive(conn, c, rng, frames)
	if c.orderly && err != nil || err != nil && !isConnectionEnd(err) {
		w.t.Errorf("client: %v", err)
	}
}

// isConnectionEnd reports whether an error is one that a closed connection causes.
func isConnectionEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, errLeft)
}

var errLeft = errors.New("the client has left")

func (w *churn) receive(conn net.Conn, c *churner, rng *rand.Rand, frames int) error {
	_ = conn.SetReadDeadline(time.Now().Add(patience)) // the read reports an error
	var in []byte
	p := make([]byte, 32<<10)
	for seq := uint32(0); seq < uint32(frames); {
		if !c.orderly {
			switch rng.IntN(300) {
			case 0:
				return errLeft
			case 1:
				c.Shut()
			}
		}
		n, err := conn.Read(p)
		in = append(in, p[:n]...)
		for {
			rest, ok, err := takeFrame(in, c.id, seq)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			in = append(in[:0], rest...)
			seq++
		}
		if err != nil && seq < uint32(frames) {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("client %d is stuck after %d of %d frames: mode %d, %w", c.id, seq, frames, c.Mode(), err)
			}
			return err
		}
	}
	return nil
}

// disturb kicks sockets, injects stale and spurious events, and opens and closes the
// breaker.
func (w *churn) disturb(stop <-chan struct{}, toggleBreaker bool) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 2))
	for {
		select {
		case <-stop:
			return
		case <-time.After(300 * time.Microsecond):
		}
		if toggleBreaker {
			w.loop.SetBreaker(evloop.BreakerOpen)
			if rng.IntN(2) == 0 {
				w.loop.SetBreaker(evloop.BreakerClosed)
			}
		}
		n := 0
		w.live.Range(func(key, _ any) bool {
			c := key.(*churner)
			events := []uint32{syscall.EPOLLIN, syscall.EPOLLOUT, syscall.EPOLLIN | syscall.EPOLLOUT, syscall.EPOLLHUP, evloop.KickEvent}[rng.IntN(5)]
			switch fd, gen := c.Descriptor(); rng.IntN(6) {
			case 0:
				w.loop.Inject(fd, gen, events)
			case 1:
				w.loop.Inject(fd, gen-1, events)
			case 2:
				c.Kick()
			case 3:
				_ = c.WantWritable()
			}
			n++
			return n < 20
		})
	}
}

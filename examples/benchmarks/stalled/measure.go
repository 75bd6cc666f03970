package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// config is what to measure.
type config struct {
	n        int
	rate     float64
	duration time.Duration
	warmUp   time.Duration // before each run; fills what a stalled one has, too
	rounds   int
	flood    int // bytes
	closing  time.Duration
}

// outbox is how many messages wait for a connection: few, so that a stalled one's
// policy shows within a second.
const outbox = 16

// result is what was measured of one policy.
type result struct {
	Policy string        `json:"policy"`
	A      []figures     `json:"all_read"`
	B      []figures     `json:"one_stalled"`
	P50    [2]float64    `json:"p50_ms"` // medians of A and B
	P99    [2]float64    `json:"p99_ms"`
	Ratio  float64       `json:"p99_ratio"`
	RSS    [3]int64      `json:"rss_bytes"` // in B: at first, at last; after the flood
	Flood  time.Duration `json:"flood_ns"`

	Codes   map[int]int       `json:"stalled_codes"`   // what stalled clients read when they read at last
	Dropped wsmanager.Dropped `json:"dropped"`         // by the server
	Close   *closed           `json:"close,omitempty"` // CloseConn of the stalled one
}

// figures are of one run.
type figures struct {
	P50     float64       `json:"p50_ms"`
	P99     float64       `json:"p99_ms"`
	Longest time.Duration `json:"longest_broadcast_ns"`
}

// parent measures one policy.
type parent struct {
	config
	child   *harness.Child
	addr    string
	readers []*reader

	failed context.CancelCauseFunc // a reader saw what it should not
	ctx    context.Context
}

// reader is a client that reads.
type reader struct {
	mu        sync.Mutex // guards what follows
	recording bool
	latencies []int64
	last      uint64

	seen atomic.Uint64 // the last message's number
}

func measure(ctx context.Context, cfg config, policy wsmanager.SlowConsumer) (res result, err error) {
	child, err := harness.StartChild("-policy", fmt.Sprint(int(policy)), "-outbox", fmt.Sprint(outbox), "-close", cfg.closing.String())
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	var h hello
	if err := child.Read(&h); err != nil {
		return res, err
	}
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	p := &parent{config: cfg, child: child, addr: h.Addr, ctx: ctx, failed: failed}
	err = harness.DialAll(ctx, cfg.n-1, p.addr+"/ws", func() func(int, *harness.Client) {
		var mu sync.Mutex
		return func(_ int, c *harness.Client) {
			mu.Lock()
			defer mu.Unlock()
			p.add(c)
		}
	}())
	if err != nil {
		return res, err
	}
	res, err = p.rounds(policy)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return res, err
}

// add makes c one that reads until the server goes.
func (p *parent) add(c *harness.Client) *reader {
	r := &reader{}
	p.readers = append(p.readers, r)
	go func() {
		defer c.Conn.Close()
		err := c.Read(make([]byte, headSize), r.message)
		var end *harness.Closed
		if !errors.As(err, &end) || end.Code != 1001 {
			p.failed(fmt.Errorf("a client that reads: %w", err))
		}
	}()
	return r
}

func (r *reader) message(head []byte, length int) error {
	now := time.Now().UnixNano()
	seq := binary.BigEndian.Uint64(head)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != 0 && seq != r.last+1 || length != sizes[seq%uint64(len(sizes))] {
		return fmt.Errorf("message %d with %d bytes came after %d", seq, length, r.last)
	}
	r.last = seq
	if r.recording {
		r.latencies = append(r.latencies, now-int64(binary.BigEndian.Uint64(head[8:])))
	}
	r.seen.Store(seq)
	return nil
}

func (p *parent) record(on bool) {
	for _, r := range p.readers {
		r.mu.Lock()
		r.recording = on
		r.mu.Unlock()
	}
}

// broadcast has the child broadcast for d and waits until all have all.
func (p *parent) broadcast(d time.Duration) (b broadcasts, err error) {
	if err := p.ask(fmt.Sprintf("/broadcast?rate=%g&d=%v", p.rate, d), &b); err != nil {
		return b, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		behind := 0
		for _, r := range p.readers {
			if r.seen.Load() < b.Last {
				behind++
			}
		}
		if behind == 0 {
			return b, nil
		}
		if time.Now().After(deadline) {
			return b, fmt.Errorf("%d clients have not got all messages", behind)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// run is one run; while, if it is not nil, is called every 100 ms meanwhile.
func (p *parent) run(while func()) (figures, error) {
	if _, err := p.broadcast(p.warmUp); err != nil {
		return figures{}, err
	}
	p.record(true)
	stop := make(chan struct{})
	var sampling sync.WaitGroup
	if while != nil {
		sampling.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					while()
				case <-stop:
					return
				}
			}
		})
	}
	b, err := p.broadcast(p.duration)
	close(stop)
	sampling.Wait()
	p.record(false)
	if err != nil {
		return figures{}, err
	}
	var all []int64
	for _, r := range p.readers {
		r.mu.Lock()
		if len(r.latencies) != b.Messages {
			err = fmt.Errorf("a client got %d messages of %d", len(r.latencies), b.Messages)
		}
		all = append(all, r.latencies...)
		r.latencies = r.latencies[:0]
		r.mu.Unlock()
	}
	slices.Sort(all)
	ms := func(p float64) float64 { return float64(harness.Percentile(all, p)) / 1e6 }
	return figures{ms(50), ms(99), b.Longest}, err
}

// rounds measures A and B in turn.
func (p *parent) rounds(policy wsmanager.SlowConsumer) (result, error) {
	res := result{Policy: policy.String(), Codes: map[int]int{}}
	var rss []int64
	allRead := func() error {
		// The one that would be stalled reads.
		c, err := harness.Dial(p.ctx, p.addr+"/ws", nil)
		if err != nil {
			return err
		}
		defer c.Conn.Close()
		go func() { _ = c.Read(nil, func([]byte, int) error { return nil }) }() // until it is closed
		f, err := p.run(nil)
		res.A = append(res.A, f)
		return err
	}
	oneStalled := func() error {
		s := &stalledClients{p: p, policy: policy, codes: res.Codes}
		if err := s.start(); err != nil {
			return err
		}
		f, err := p.run(func() { rss = append(rss, p.child.RSS()) })
		res.B = append(res.B, f)
		if err == nil && len(res.B) == p.config.rounds {
			err = p.lastOfStalled(&res)
		}
		return errors.Join(err, s.stop())
	}
	for round := range p.config.rounds {
		first, second := allRead, oneStalled
		if round%2 == 1 { // neither has the better place
			first, second = second, first
		}
		if err := first(); err != nil {
			return res, err
		}
		if err := second(); err != nil {
			return res, err
		}
	}
	for i, runs := range [][]figures{res.A, res.B} {
		var p50, p99 []float64
		for _, f := range runs {
			p50, p99 = append(p50, f.P50), append(p99, f.P99)
		}
		res.P50[i], res.P99[i] = harness.Median(p50), harness.Median(p99)
	}
	res.Ratio = res.P99[1] / res.P99[0]
	fifth := max(1, len(rss)/5)
	res.RSS[0], res.RSS[1] = harness.Median(rss[:fifth]), harness.Median(rss[len(rss)-fifth:])
	var st status
	if err := p.ask("/stats", &st); err != nil {
		return res, err
	}
	res.Dropped = st.Stats.Dropped
	return res, nil
}

// lastOfStalled offers the stalled connection far more than it may hold, and ends
// it.
func (p *parent) lastOfStalled(res *result) error {
	if err := p.ask(fmt.Sprintf("/flood?bytes=%d", p.flood), &res.Flood); err != nil {
		return err
	}
	res.RSS[2] = p.child.RSS()
	if res.Policy == wsmanager.SlowConsumerClose.String() {
		return nil // its policy has closed it
	}
	res.Close = new(closed)
	return p.ask("/close", res.Close)
}

// stalledClients keeps one client there that does not read: one that the policy
// has closed reads at last, and is followed by another.
type stalledClients struct {
	p      *parent
	policy wsmanager.SlowConsumer
	codes  map[int]int

	now  *harness.Client
	quit chan struct{}
	done chan error
}

func (s *stalledClients) start() error {
	if err := s.dial(); err != nil {
		return err
	}
	s.quit, s.done = make(chan struct{}), make(chan error, 1)
	go func() { s.done <- s.keep() }()
	return nil
}

func (s *stalledClients) dial() (err error) {
	s.now, err = harness.Dial(s.p.ctx, s.p.addr+"/ws?stall", func(c *net.TCPConn) error { return c.SetReadBuffer(4 << 10) })
	return err
}

func (s *stalledClients) keep() error {
	if s.policy != wsmanager.SlowConsumerClose {
		<-s.quit
		return nil
	}
	for {
		select {
		case <-s.quit:
			return nil
		case <-time.After(50 * time.Millisecond):
		}
		var st status
		if err := s.p.ask("/stats", &st); err != nil {
			return err
		}
		if st.Stalled {
			continue
		}
		if err := s.readAtLast(); err != nil {
			return err
		}
		if err := s.dial(); err != nil {
			return err
		}
	}
}

// readAtLast reads what a client finds after its end.
func (s *stalledClients) readAtLast() error {
	defer s.now.Conn.Close()
	last := uint64(0)
	err := s.now.Read(make([]byte, headSize), func(head []byte, _ int) error {
		seq := binary.BigEndian.Uint64(head)
		if seq <= last && seq != 0 { // 0 is of the flood
			return fmt.Errorf("a stalled client got %d after %d", seq, last)
		}
		last = seq
		return nil
	})
	var end *harness.Closed
	if !errors.As(err, &end) {
		return fmt.Errorf("a stalled client that reads at last: %w", err)
	}
	s.codes[end.Code]++
	return nil
}

func (s *stalledClients) stop() error {
	close(s.quit)
	err := <-s.done
	if s.now != nil {
		s.now.Conn.Close()
	}
	return err
}

// ask asks the child something.
func (p *parent) ask(path string, v any) error { return harness.Ask(p.ctx, p.addr+path, v) }

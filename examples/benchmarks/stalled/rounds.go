package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

type config struct {
	n            int
	rate         float64
	duration     time.Duration
	warmUp       time.Duration // it also fills the outbox of a stalled connection
	rounds       int
	flood        int // bytes
	closeTimeout time.Duration
}

// result is the measurement of one policy.
type result struct {
	Policy  string            `json:"policy"`
	AllRead []harness.Latency `json:"all_read"` // of each round
	Stalled []harness.Latency `json:"one_stalled"`
	P50     [2]float64        `json:"p50_ms"` // medians: all read, one stalled
	P99     [2]float64        `json:"p99_ms"`
	Ratio   float64           `json:"p99_ratio"`
	RSS     [3]int64          `json:"rss_bytes"` // with one stalled: first, last; after the flood
	Flood   time.Duration     `json:"flood_ns"`

	Codes   map[int]int       `json:"stalled_codes"` // close codes that stalled clients read
	Dropped wsmanager.Dropped `json:"dropped"`
	Close   *closed           `json:"close,omitempty"` // nil if the policy had closed the connection
}

// parent measures one policy.
type parent struct {
	config
	*harness.Child
	ctx     context.Context
	policy  wsmanager.SlowConsumer
	readers []*reader
	rss     []int64 // samples while one client is stalled
}

// reader is a client that reads.
type reader struct {
	latency harness.Recorder
	last    atomic.Uint64 // number of the last message
}

func measure(ctx context.Context, cfg config, policy wsmanager.SlowConsumer) (res result, err error) {
	err = harness.WithChild(ctx, childConfig{policy, cfg.closeTimeout}, func(ctx context.Context, child *harness.Child) error {
		p := &parent{config: cfg, Child: child, ctx: ctx, policy: policy, readers: make([]*reader, cfg.n-1)}
		err := harness.DialAll(ctx, cfg.n-1, p.Addr+"/ws", func(i int, c *harness.Client) {
			p.readers[i] = &reader{}
			go p.read(p.readers[i], c)
		})
		if err != nil {
			return err
		}
		res, err = p.measure()
		return err
	})
	return res, err
}

// read reads until the server goes away.
func (p *parent) read(r *reader, c *harness.Client) {
	defer c.Conn.Close()
	if err := c.Read(make([]byte, headSize), r.message); !harness.IsClosed(err, 1001) {
		p.Fail(fmt.Errorf("a client that reads: %w", err))
	}
}

func (r *reader) message(head []byte, length int) error {
	now := time.Now().UnixNano()
	number, last := binary.BigEndian.Uint64(head), r.last.Load()
	if last != 0 && number != last+1 || length != sizes[number%uint64(len(sizes))] {
		return fmt.Errorf("message %d of %d bytes arrived after message %d", number, length, last)
	}
	r.latency.Add(time.Duration(now - int64(binary.BigEndian.Uint64(head[8:]))))
	r.last.Store(number)
	return nil
}

// measure runs the rounds and summarises them.
func (p *parent) measure() (result, error) {
	res := result{Policy: p.policy.String(), Codes: map[int]int{}}
	for round := range p.config.rounds {
		first, second := p.allRead, p.oneStalled
		if round%2 == 1 { // neither kind is always the first
			first, second = second, first
		}
		if err := first(&res); err != nil {
			return res, err
		}
		if err := second(&res); err != nil {
			return res, err
		}
	}
	for i, runs := range [][]harness.Latency{res.AllRead, res.Stalled} {
		res.P50[i] = harness.Milliseconds(harness.MedianOf(runs, func(l harness.Latency) time.Duration { return l.P50 }))
		res.P99[i] = harness.Milliseconds(harness.MedianOf(runs, func(l harness.Latency) time.Duration { return l.P99 }))
	}
	res.Ratio = res.P99[1] / res.P99[0]
	fifth := max(1, len(p.rss)/5)
	res.RSS[0], res.RSS[1] = harness.Median(p.rss[:fifth]), harness.Median(p.rss[len(p.rss)-fifth:])
	var st status
	err := p.Ask("/stats", &st)
	res.Dropped = st.Stats.Dropped
	return res, err
}

// allRead runs with a reading client in place of the stalled one.
func (p *parent) allRead(res *result) error {
	c, err := harness.Dial(p.ctx, p.Addr+"/ws", nil)
	if err != nil {
		return err
	}
	defer c.Conn.Close()
	go func() { _ = c.Read(nil, func([]byte, int) error { return nil }) }() // until it is closed
	l, err := p.run(func() {})
	res.AllRead = append(res.AllRead, l)
	return err
}

func (p *parent) oneStalled(res *result) error {
	s := &stalledClients{p: p, codes: res.Codes}
	if err := s.start(); err != nil {
		return err
	}
	l, err := p.run(func() { p.rss = append(p.rss, p.RSS()) })
	res.Stalled = append(res.Stalled, l)
	if err == nil && len(res.Stalled) == p.config.rounds {
		err = p.floodAndClose(res)
	}
	return errors.Join(err, s.stop())
}

// floodAndClose sends the stalled connection more than its outbox holds, and closes it.
func (p *parent) floodAndClose(res *result) error {
	if err := p.Ask(fmt.Sprintf("/flood?bytes=%d", p.flood), &res.Flood); err != nil {
		return err
	}
	res.RSS[2] = p.RSS()
	if p.policy == wsmanager.SlowConsumerClose {
		return nil // the policy has closed it
	}
	res.Close = new(closed)
	return p.Ask("/close", res.Close)
}

// run measures the latency of one run. It calls sample every 100 ms.
func (p *parent) run(sample func()) (harness.Latency, error) {
	if _, err := p.broadcast(p.warmUp); err != nil {
		return harness.Latency{}, err
	}
	for _, r := range p.readers {
		r.latency.Start()
	}
	stop := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				sample()
			case <-stop:
				return
			}
		}
	})
	done, err := p.broadcast(p.duration)
	close(stop)
	sampling.Wait()
	var all []time.Duration
	for _, r := range p.readers {
		latencies := r.latency.Stop()
		if err == nil && len(latencies) != done.Messages {
			err = fmt.Errorf("a client has received %d of %d messages", len(latencies), done.Messages)
		}
		all = append(all, latencies...)
	}
	return harness.LatencyOf(all), err
}

// broadcast lets the server broadcast for d and waits until all readers have received
// everything.
func (p *parent) broadcast(d time.Duration) (done broadcasts, err error) {
	if err := p.Ask(fmt.Sprintf("/broadcast?rate=%g&d=%v", p.rate, d), &done); err != nil {
		return done, err
	}
	return done, p.Await("all readers", func() (bool, error) {
		for _, r := range p.readers {
			if r.last.Load() < done.Last {
				return false, nil
			}
		}
		return true, nil
	})
}

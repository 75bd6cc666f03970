package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

type config struct {
	driver   wsmanager.Driver
	measured int
	rate     float64
	sleepers int
	sleep    time.Duration
	blocked  int
	duration time.Duration
	warmUp   time.Duration
	rounds   int
	deadline time.Duration
}

type result struct {
	Driver     string               `json:"driver"`
	Alone      harness.Latency      `json:"alone"`  // medians of the rounds
	Beside     harness.Latency      `json:"beside"` // connections whose callback sleeps
	Rounds     [2][]harness.Latency `json:"rounds"`
	Sleeps     float64              `json:"sleeps_per_s"`
	Blocked    harness.Latency      `json:"blocked"`
	Goroutines [3]int               `json:"goroutines"` // before, while callbacks block, after
	Shutdown   shutdown             `json:"shutdown"`   // while callbacks block
	Released   shutdown             `json:"released"`   // after they have returned
}

type parent struct {
	config
	*harness.Child
	ctx     context.Context
	reading sync.WaitGroup
	clients []*client // the measured ones
}

func measure(ctx context.Context, cfg config) (res result, err error) {
	err = harness.WithChild(ctx, childConfig{cfg.driver, cfg.sleep}, func(ctx context.Context, child *harness.Child) error {
		p := &parent{config: cfg, Child: child, ctx: ctx, clients: make([]*client, cfg.measured)}
		res.Driver = cfg.driver.String()
		return p.measure(&res)
	})
	return res, err
}

func (p *parent) measure(res *result) error {
	err := harness.DialAll(p.ctx, len(p.clients), p.Addr+"/ws", func(i int, c *harness.Client) {
		m := &client{Client: c}
		p.clients[i] = m
		p.reading.Go(func() {
			defer c.Conn.Close()
			if err := c.Read(make([]byte, messageSize), m.message); !harness.IsClosed(err, 1001) {
				p.Fail(fmt.Errorf("a measured client: %w", err))
			}
		})
	})
	if err != nil {
		return err
	}
	for range p.rounds {
		alone, err := p.run()
		if err != nil {
			return err
		}
		beside, sleeps, err := p.besideSleepers()
		if err != nil {
			return err
		}
		res.Rounds[0], res.Rounds[1] = append(res.Rounds[0], alone), append(res.Rounds[1], beside)
		res.Sleeps += sleeps / float64(p.rounds)
	}
	res.Alone, res.Beside = medians(res.Rounds[0]), medians(res.Rounds[1])
	return p.besideBlocked(res)
}

func medians(runs []harness.Latency) harness.Latency {
	return harness.Latency{
		P50:     harness.MedianOf(runs, func(l harness.Latency) time.Duration { return l.P50 }),
		P99:     harness.MedianOf(runs, func(l harness.Latency) time.Duration { return l.P99 }),
		Longest: harness.MedianOf(runs, func(l harness.Latency) time.Duration { return l.Longest }),
	}
}

// messageSize is the length of a message: the time of its sending, in nanoseconds since
// start, as hexadecimal digits.
const messageSize = 16

var start = time.Now()

// client is a measured client.
type client struct {
	*harness.Client
	latency harness.Recorder
	pending atomic.Int64 // messages without an echo
}

func (c *client) message(head []byte, length int) error {
	now := time.Since(start)
	sent, err := strconv.ParseInt(string(head), 16, 64)
	if err != nil || length != messageSize {
		return fmt.Errorf("an echo of %d bytes: %q", length, head)
	}
	c.latency.Add(now - time.Duration(sent))
	c.pending.Add(-1)
	return nil
}

// run measures the latency of one run.
func (p *parent) run() (harness.Latency, error) {
	if err := p.send(p.warmUp); err != nil {
		return harness.Latency{}, err
	}
	for _, c := range p.clients {
		c.latency.Start()
	}
	err := p.send(p.duration)
	var all []time.Duration
	for _, c := range p.clients {
		all = append(all, c.latency.Stop()...)
	}
	return harness.LatencyOf(all), err
}

// send sends at the rate, from each client in turn, and waits for the echoes.
func (p *parent) send(d time.Duration) error {
	gap := time.Duration(float64(time.Second) / p.rate)
	message := make([]byte, 0, messageSize)
	i := 0
	for due, end := time.Now(), time.Now().Add(d); due.Before(end); due = due.Add(gap) {
		time.Sleep(time.Until(due))
		c := p.clients[i%len(p.clients)]
		c.pending.Add(1)
		if err := c.Send(fmt.Appendf(message, "%016x", int64(time.Since(start)))); err != nil {
			return err
		}
		i++
	}
	return p.Await("the echoes", func() (bool, error) {
		for _, c := range p.clients {
			if c.pending.Load() > 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

func (p *parent) status() (st status, err error) {
	err = p.Ask("/status", &st)
	return st, err
}

// awaitStatus waits until reached returns true, and returns that status.
func (p *parent) awaitStatus(name string, reached func(status) bool) (st status, err error) {
	err = p.Await(name, func() (bool, error) {
		st, err = p.status()
		return reached(st), err
	})
	return st, err
}

// open connects clients whose callback sleeps or blocks, and sends the first message of
// each.
func (p *parent) open(n int, do string, message func(c *harness.Client, head []byte) error) ([]*harness.Client, error) {
	clients := make([]*harness.Client, n)
	err := harness.DialAll(p.ctx, n, p.Addr+"/ws?do="+do, func(i int, c *harness.Client) { clients[i] = c })
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		p.reading.Go(func() {
			defer c.Conn.Close()
			_ = c.Read(make([]byte, messageSize), func(head []byte, _ int) error { return message(c, head) }) // its end is expected
		})
		if err := c.Send(make([]byte, messageSize)); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// besideSleepers measures a run while callbacks of other connections sleep.
func (p *parent) besideSleepers() (l harness.Latency, perSecond float64, err error) {
	sleepers, err := p.open(p.sleepers, "sleep", func(c *harness.Client, head []byte) error { return c.Send(head) })
	if err != nil {
		return l, 0, err
	}
	before, err := p.status()
	if err != nil {
		return l, 0, err
	}
	began := time.Now()
	if l, err = p.run(); err != nil {
		return l, 0, err
	}
	took := time.Since(began)
	after, err := p.status()
	if err != nil {
		return l, 0, err
	}
	for _, c := range sleepers {
		_ = c.Conn.Close() // its reader ends
	}
	_, err = p.awaitStatus("the end of sleeping connections", func(st status) bool { return st.Connections == len(p.clients) })
	return l, float64(after.Slept-before.Slept) / took.Seconds(), err
}

// besideBlocked measures a run while callbacks of other connections block, and the
// Manager's Shutdown.
func (p *parent) besideBlocked(res *result) error {
	st, err := p.status()
	if err != nil {
		return err
	}
	res.Goroutines[0] = st.Goroutines
	_, err = p.open(p.blocked, "block", func(*harness.Client, []byte) error {
		err := errors.New("a message of a blocked callback was echoed")
		p.Fail(err)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := p.awaitStatus("blocked callbacks", func(st status) bool { return st.Blocked == int64(p.blocked) }); err != nil {
		return err
	}
	if res.Blocked, err = p.run(); err != nil {
		return err
	}
	if st, err = p.status(); err != nil {
		return err
	}
	res.Goroutines[1] = st.Goroutines
	if err := p.Ask("/shutdown?d="+p.deadline.String(), &res.Shutdown); err != nil {
		return err
	}
	if err := p.Ask("/release", new(bool)); err != nil {
		return err
	}
	if err := p.Ask("/shutdown?d=10s", &res.Released); err != nil {
		return err
	}
	p.reading.Wait()
	st, err = p.awaitStatus("the end of goroutines", func(st status) bool { return st.Goroutines <= res.Goroutines[0] })
	res.Goroutines[2] = st.Goroutines
	return err
}

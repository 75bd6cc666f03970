package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// config is what to measure.
type config struct {
	driver   harness.Driver
	others   int
	rate     float64 // of these, messages a second
	sleepers int
	sleep    time.Duration
	blocked  int
	duration time.Duration // of a run
	warmUp   time.Duration
	rounds   int
	deadline time.Duration // of Shutdown
}

// result is what was measured.
type result struct {
	Driver     string  `json:"driver"`
	Alone      figures `json:"alone"`  // medians of the rounds
	Beside     figures `json:"beside"` // those that sleep
	Rounds     [2][]figures
	Slept      float64 `json:"slept"` // messages a second of those that sleep
	Blocked    figures `json:"blocked"`
	Goroutines [3]int  `json:"goroutines"` // before, while callbacks block, after
	Shutdown   end     `json:"shutdown"`   // while callbacks block
	Released   end     `json:"released"`   // when they have returned
}

// figures are of one run, in milliseconds.
type figures struct {
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Longest float64 `json:"longest_ms"`
}

// parent measures.
type parent struct {
	config
	addr string
	ctx  context.Context

	failed  context.CancelCauseFunc // a client saw what it should not
	reading sync.WaitGroup

	others []*other
}

func measure(ctx context.Context, cfg config) (res result, err error) {
	child, err := harness.StartChild("-driver", cfg.driver.String(), "-sleep", cfg.sleep.String())
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	var h hello
	if err := child.Read(&h); err != nil {
		return res, err
	}
	ctx, failed := context.WithCancelCause(ctx)
	p := &parent{config: cfg, addr: h.Addr, ctx: ctx, failed: failed}
	res, err = p.measure()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	failed(nil) // whatever clients still see
	return res, err
}

func (p *parent) measure() (res result, err error) {
	res.Driver = p.driver.String()
	p.others = make([]*other, p.config.others)
	err = harness.DialAll(p.ctx, len(p.others), p.addr+"/ws", func(i int, c *harness.Client) {
		p.others[i] = &other{c: c}
		p.read(c, p.others[i].message, true)
	})
	if err != nil {
		return res, err
	}
	for range p.rounds {
		f, err := p.run()
		if err != nil {
			return res, err
		}
		res.Rounds[0] = append(res.Rounds[0], f)
		f, slept, err := p.besideSleepers()
		if err != nil {
			return res, err
		}
		res.Rounds[1] = append(res.Rounds[1], f)
		res.Slept += slept / float64(p.rounds)
	}
	res.Alone, res.Beside = medians(res.Rounds[0]), medians(res.Rounds[1])
	return res, p.besideBlocked(&res)
}

func medians(runs []figures) figures {
	of := func(f func(figures) float64) float64 {
		var values []float64
		for _, run := range runs {
			values = append(values, f(run))
		}
		return harness.Median(values)
	}
	return figures{
		of(func(f figures) float64 { return f.P50 }),
		of(func(f figures) float64 { return f.P99 }),
		of(func(f figures) float64 { return f.Longest }),
	}
}

// read reads until the end, which for some has to be Shutdown's.
func (p *parent) read(c *harness.Client, message func([]byte, int) error, toTheEnd bool) {
	p.reading.Go(func() {
		defer c.Conn.Close()
		err := c.Read(make([]byte, headSize), message)
		var end *harness.Closed
		if toTheEnd && (!errors.As(err, &end) || end.Code != 1001) {
			p.failed(fmt.Errorf("a client: %w", err))
		}
	})
}

// headSize is a message: when it was sent, in nanoseconds since the start, in 16
// hexadecimal digits.
const headSize = 16

var start = time.Now()

// other is a client that is echoed.
type other struct {
	c *harness.Client

	mu        sync.Mutex // guards what follows
	recording bool
	latencies []int64
	missing   int // echoes
}

func (o *other) send(p []byte) error {
	o.mu.Lock()
	o.missing++
	o.mu.Unlock()
	return o.c.Send(fmt.Appendf(p[:0], "%016x", int64(time.Since(start))))
}

func (o *other) message(head []byte, length int) error {
	now := int64(time.Since(start))
	sent, err := strconv.ParseInt(string(head), 16, 64)
	if err != nil || length != headSize {
		return fmt.Errorf("an echo of %d bytes: %q", length, head)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missing--
	if o.recording {
		o.latencies = append(o.latencies, now-sent)
	}
	return nil
}

func (o *other) record(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recording = on
}

func (o *other) behind() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.missing > 0
}

// run has the others send, to warm up and then to be measured.
func (p *parent) run() (figures, error) {
	if err := p.send(p.warmUp); err != nil {
		return figures{}, err
	}
	for _, o := range p.others {
		o.record(true)
	}
	if err := p.send(p.duration); err != nil {
		return figures{}, err
	}
	var all []int64
	for _, o := range p.others {
		o.record(false)
		all = append(all, o.latencies...)
		o.latencies = o.latencies[:0]
	}
	slices.Sort(all)
	ms := func(p float64) float64 { return float64(harness.Percentile(all, p)) / 1e6 }
	return figures{ms(50), ms(99), ms(100)}, nil
}

// send sends at the rate, from one client after the other, and waits for the echoes.
func (p *parent) send(d time.Duration) error {
	gap := time.Duration(float64(time.Second) / p.rate)
	message := make([]byte, headSize)
	i := 0
	for due, end := time.Now(), time.Now().Add(d); due.Before(end); due = due.Add(gap) {
		time.Sleep(time.Until(due))
		if err := p.others[i%len(p.others)].send(message); err != nil {
			return err
		}
		i++
	}
	return p.await("echoes", func() (bool, error) { return !slices.ContainsFunc(p.others, (*other).behind), nil })
}

// await waits until done says so.
func (p *parent) await(what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		ok, err := done()
		switch {
		case ok || err != nil:
			return err
		case context.Cause(p.ctx) != nil:
			return context.Cause(p.ctx)
		case time.Now().After(deadline):
			return fmt.Errorf("the %s did not come", what)
		}
	}
}

func (p *parent) ask(path string, v any) error { return harness.Ask(p.ctx, p.addr+path, v) }

// besideSleepers is run while others' callbacks sleep.
func (p *parent) besideSleepers() (f figures, slept float64, err error) {
	var mu sync.Mutex
	var sleepers []*harness.Client
	err = harness.DialAll(p.ctx, p.sleepers, p.addr+"/ws?do=sleep", func(_ int, c *harness.Client) {
		mu.Lock()
		defer mu.Unlock()
		sleepers = append(sleepers, c)
	})
	if err != nil {
		return f, 0, err
	}
	for _, c := range sleepers {
		p.read(c, func(head []byte, _ int) error { return c.Send(head) }, false)
		if err := c.Send(make([]byte, headSize)); err != nil {
			return f, 0, err
		}
	}
	var before, after status
	if err := p.ask("/status", &before); err != nil {
		return f, 0, err
	}
	began := time.Now()
	if f, err = p.run(); err != nil {
		return f, 0, err
	}
	took := time.Since(began)
	if err := p.ask("/status", &after); err != nil {
		return f, 0, err
	}
	for _, c := range sleepers {
		_ = c.Conn.Close() // its reader sees it
	}
	err = p.await("end of those that sleep", func() (bool, error) {
		var st status
		err := p.ask("/status", &st)
		return st.Connections == len(p.others), err
	})
	return f, float64(after.Slept-before.Slept) / took.Seconds(), err
}

// besideBlocked is run while callbacks block, and the Manager's end.
func (p *parent) besideBlocked(res *result) error {
	var st status
	if err := p.ask("/status", &st); err != nil {
		return err
	}
	res.Goroutines[0] = st.Goroutines
	var mu sync.Mutex
	var blocked []*harness.Client
	err := harness.DialAll(p.ctx, p.blocked, p.addr+"/ws?do=block", func(_ int, c *harness.Client) {
		mu.Lock()
		defer mu.Unlock()
		blocked = append(blocked, c)
	})
	if err != nil {
		return err
	}
	for _, c := range blocked {
		p.read(c, func([]byte, int) error { return errors.New("an echo of one that blocks") }, false)
		if err := c.Send(make([]byte, headSize)); err != nil {
			return err
		}
	}
	err = p.await("callbacks that block", func() (bool, error) {
		err := p.ask("/status", &st)
		return st.Blocked == int64(p.blocked), err
	})
	if err != nil {
		return err
	}
	if res.Blocked, err = p.run(); err != nil {
		return err
	}
	if err := p.ask("/status", &st); err != nil {
		return err
	}
	res.Goroutines[1] = st.Goroutines
	if err := p.ask("/shutdown?d="+p.deadline.String(), &res.Shutdown); err != nil {
		return err
	}
	if err := p.ask("/release", new(bool)); err != nil {
		return err
	}
	if err := p.ask("/shutdown?d=10s", &res.Released); err != nil {
		return err
	}
	p.reading.Wait()
	return p.await("end of goroutines", func() (bool, error) {
		err := p.ask("/status", &st)
		res.Goroutines[2] = st.Goroutines
		return st.Goroutines <= res.Goroutines[0], err
	})
}

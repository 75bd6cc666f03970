package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// config is what to measure.
type config struct {
	driver   harness.Driver
	n        int
	duration time.Duration
	ping     time.Duration // the server's PingInterval, 0 for its default
	compress bool          // the clients offer it, and the server takes it
}

// result is what was measured.
type result struct {
	Driver  string  `json:"driver"`
	Empty   status  `json:"empty"`
	Full    status  `json:"full"`             // when all are there
	End     status  `json:"end"`              // after duration
	Each    int64   `json:"connection_bytes"` // of resident memory
	CPU     float64 `json:"cpu_percent"`      // of a processor
	BytesIn uint64  `json:"bytes_in"`         // by the server in duration
}

func measure(ctx context.Context, cfg config) (res result, err error) {
	child, err := harness.StartChild("-driver", cfg.driver.String(), "-ping", cfg.ping.String(), fmt.Sprintf("-compress=%v", cfg.compress))
	if err != nil {
		return res, err
	}
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	p := &parent{child: child, ctx: ctx, failed: failed}
	res, err = p.measure(cfg)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	err = errors.Join(err, child.Stop())
	p.reading.Wait()
	return res, err
}

// parent measures.
type parent struct {
	child   *harness.Child
	addr    string
	ctx     context.Context
	failed  context.CancelCauseFunc // a client saw what it should not
	reading sync.WaitGroup
}

func (p *parent) measure(cfg config) (res result, err error) {
	res.Driver = cfg.driver.String()
	var h hello
	if err := p.child.Read(&h); err != nil {
		return res, err
	}
	p.addr = h.Addr
	if res.Empty, err = p.status(true); err != nil {
		return res, err
	}
	dialAll := harness.DialAll
	if cfg.compress {
		dialAll = harness.DialAllOffering
	}
	err = dialAll(p.ctx, cfg.n, p.addr+"/ws", func(_ int, c *harness.Client) {
		p.reading.Go(func() { p.read(c) })
	})
	if err != nil {
		return res, err
	}
	if res.Full, err = p.status(true); err != nil {
		return res, err
	}
	res.Each = (res.Full.RSS - res.Empty.RSS) / int64(cfg.n)
	used, began := p.child.CPU(), time.Now()
	select {
	case <-time.After(cfg.duration):
	case <-p.ctx.Done():
		return res, context.Cause(p.ctx)
	}
	res.CPU = 100 * float64(p.child.CPU()-used) / float64(time.Since(began))
	if res.End, err = p.status(false); err != nil {
		return res, err
	}
	res.BytesIn = res.End.BytesIn - res.Full.BytesIn
	return res, nil
}

// read answers pings until the server ends.
func (p *parent) read(c *harness.Client) {
	defer c.Conn.Close()
	err := c.Read(nil, func([]byte, int) error { return errors.New("a message") })
	var end *harness.Closed
	if !errors.As(err, &end) || end.Code != 1001 {
		p.failed(fmt.Errorf("a client: %w", err))
	}
}

func (p *parent) status(collect bool) (st status, err error) {
	path := "/status"
	if collect {
		path += "?collect"
	}
	err = harness.Ask(p.ctx, p.addr+path, &st)
	st.RSS = p.child.RSS()
	return st, err
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// config is what to measure.
type config struct {
	driver  harness.Driver
	n       int // receivers
	many    int // receivers of the group
	total   int // broadcasts of a load with many of them
	lone    int // broadcasts that come alone
	probes  int
	rounds  int
	repeats int // of loads that take milliseconds, in each round
}

const (
	goroutines = 100 // that broadcast at once, and callers of the hub
	inFlight   = 32  // messages of one peer
	few        = 64  // broadcasts that leave as one batch, or follow each other
	lonePause  = 20 * time.Millisecond
)

// result is what was measured.
type result struct {
	Driver string  `json:"driver"`
	Rounds []round `json:"rounds"`
}

// round has the server's processor time for each message and receiver, in microseconds,
// and latencies.
type round struct {
	Peer      float64 `json:"peer_cpu_us"`      // one peer's messages, inFlight at a time
	AtOnce    float64 `json:"at_once_cpu_us"`   // goroutines
	Segment   float64 `json:"segment_cpu_us"`   // few messages of one peer in one segment, to the group
	Row       float64 `json:"row_cpu_us"`       // few in a row by one goroutine
	LongRow   float64 `json:"long_row_cpu_us"`  // total in a row by one goroutine
	Calls     float64 `json:"hub_calls_cpu_us"` // of several clients
	OneCaller float64 `json:"hub_one_cpu_us"`   // of one client, whose calls run one after the other
	Lone      float64 `json:"lone_cpu_us"`
	LoneP50   float64 `json:"lone_p50_ms"` // until the last receiver has it

	Single probes `json:"beside_single"` // while a peer sends one message after the other
	Pairs  probes `json:"beside_pairs"`  // while it sends two in one segment
}

// parent measures.
type parent struct {
	config
	addr   string
	ctx    context.Context
	failed context.CancelCauseFunc // a client saw what it should not

	all, group, hub *set
	peer            *harness.Client // of the group's Manager, no member of the group
}

func measure(ctx context.Context, cfg config) (res result, err error) {
	child, err := harness.StartChild("-driver", cfg.driver.String())
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
	if err := p.connect(); err != nil {
		return res, err
	}
	if _, err := p.round(); err != nil { // to warm up
		return res, err
	}
	for range p.rounds {
		r, err := p.round()
		if err != nil {
			return res, err
		}
		res.Rounds = append(res.Rounds, r)
	}
	return res, nil
}

func (p *parent) connect() (err error) {
	if p.all, err = p.open(p.n, "/all", size); err != nil {
		return err
	}
	if p.group, err = p.open(p.many, "/group?as="+asReceiver, size); err != nil {
		return err
	}
	if _, err = p.open(1, "/group?as="+asBystander, size); err != nil {
		return err
	}
	peers, err := p.open(1, "/group?as="+asPeer, size)
	if err != nil {
		return err
	}
	p.peer = peers.clients[0]
	if p.hub, err = p.open(p.n, "/hub", 0); err != nil {
		return err
	}
	return p.hub.await(p.ctx, 1, func() error {
		for _, c := range p.hub.clients {
			if err := c.Send([]byte(`{"protocol":"json","version":1}` + "\x1e")); err != nil {
				return err
			}
		}
		return nil
	})
}

// cost is what each delivery of a load has cost the server, in microseconds: that of a
// number of messages to each connection of the set.
func (p *parent) cost(s *set, messages int, run func() error) (cpu float64, err error) {
	var before, after time.Duration
	if err := p.ask("/cpu", &before); err != nil {
		return 0, err
	}
	if err := run(); err != nil {
		return 0, err
	}
	if err := p.ask("/cpu", &after); err != nil {
		return 0, err
	}
	return float64(after-before) / 1e3 / float64(messages*len(s.clients)), nil
}

// deliver is cost of messages that are all sent before the first is waited for.
func (p *parent) deliver(s *set, messages int, send func() error) (cpu float64, err error) {
	return p.cost(s, messages, func() error { return s.await(p.ctx, messages, send) })
}

func (p *parent) ask(path string, v any) error { return harness.Ask(p.ctx, p.addr+path, v) }

// frames is n messages, as a client sends them in one segment.
func frames(n int) []byte {
	f := ws.MaskFrameInPlace(ws.NewTextFrame([]byte(strings.Repeat("x", size))))
	return bytes.Repeat(ws.MustCompileFrame(f), n)
}

// call is a call of the hub's method without an answer.
var call = ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame(
	fmt.Appendf(nil, `{"type":1,"target":"Say","arguments":["%s"]}`+"\x1e", strings.Repeat("x", size)))))

func write(c *harness.Client, p []byte) error {
	_, err := c.Conn.Write(p)
	return err
}

// round runs each load once.
func (p *parent) round() (r round, err error) {
	each := p.total / goroutines
	for _, step := range []func() error{
		func() (err error) { r.Peer, err = p.byPeer(); return err },
		func() (err error) { r.AtOnce, err = p.byServer(work{goroutines: goroutines, each: each}); return err },
		func() (err error) { r.Calls, err = p.byCalls(min(goroutines, p.n), each); return err },
		func() (err error) { r.OneCaller, err = p.byCalls(1, p.total); return err },
		func() (err error) { r.LongRow, err = p.byServer(work{goroutines: 1, each: p.total}); return err },
		func() (err error) {
			r.Row, err = p.again(func() (float64, error) { return p.byServer(work{goroutines: 1, each: few}) })
			return err
		},
		func() (err error) {
			segment := frames(few)
			r.Segment, err = p.again(func() (float64, error) {
				return p.deliver(p.group, few, func() error { return write(p.peer, segment) })
			})
			return err
		},
		func() (err error) { r.Single, err = p.beside(1); return err },
		func() (err error) { r.Pairs, err = p.beside(2); return err },
		func() (err error) { r.Lone, r.LoneP50, err = p.alone(); return err },
	} {
		if err := step(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// again is the mean of some runs.
func (p *parent) again(run func() (float64, error)) (mean float64, err error) {
	for range p.repeats {
		cpu, err := run()
		if err != nil {
			return 0, err
		}
		mean += cpu / float64(p.repeats)
	}
	return mean, nil
}

// byServer has the server broadcast to all.
func (p *parent) byServer(w work) (cpu float64, err error) {
	return p.deliver(p.all, w.total(), func() error { return p.ask(w.path(), new(bool)) })
}

// byPeer has one of all send messages: the next ones when all have those before.
func (p *parent) byPeer() (cpu float64, err error) {
	segment := frames(inFlight)
	windows := max(1, p.total/inFlight)
	return p.cost(p.all, windows*inFlight, func() error {
		for range windows {
			if err := p.all.await(p.ctx, inFlight, func() error { return write(p.all.clients[0], segment) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// byCalls has some of the hub's clients send calls, with one write for each.
func (p *parent) byCalls(clients, each int) (cpu float64, err error) {
	return p.deliver(p.hub, clients*each, func() error {
		for range each {
			for _, c := range p.hub.clients[:clients] {
				if err := write(c, call); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// beside probes while a peer sends segments of some messages to the group, each when all
// have those of the one before.
func (p *parent) beside(messages int) (found probes, err error) {
	probed := make(chan error, 1)
	go func() { probed <- p.ask(fmt.Sprintf("/probe?n=%d", p.probes), &found) }()
	segment := frames(messages)
	for {
		if err := p.group.await(p.ctx, messages, func() error { return write(p.peer, segment) }); err != nil {
			return found, errors.Join(err, <-probed)
		}
		select {
		case err := <-probed:
			return found, err
		default:
		}
	}
}

// alone has the server broadcast one message after the other with pauses.
func (p *parent) alone() (cpu, p50 float64, err error) {
	arrivals := make([]arrival, p.lone)
	p.all.lone.Store(&arrivals)
	defer p.all.lone.Store(nil)
	if cpu, err = p.byServer(work{goroutines: 1, each: p.lone, pause: lonePause}); err != nil {
		return 0, 0, err
	}
	var took []float64
	for i := range arrivals {
		took = append(took, float64(arrivals[i].took.Load())/1e6)
	}
	return cpu, harness.Median(took), nil
}

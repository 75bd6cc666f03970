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
	"github.com/speakingtube/speakingtube/wsmanager"
)

type config struct {
	driver  wsmanager.Driver
	n       int
	group   int
	total   int
	lone    int
	probes  int
	rounds  int
	repeats int
}

const (
	goroutines = 100 // that broadcast at once; also the number of hub clients that call
	inFlight   = 32  // messages of one peer
	few        = 64  // broadcasts of a short load
	lonePause  = 20 * time.Millisecond
)

type result struct {
	Driver string  `json:"driver"`
	Rounds []round `json:"rounds"`
}

// round has the server's processor time per message and receiver in microseconds, and
// latencies.
type round struct {
	Peer      float64 `json:"peer_cpu_us"`
	AtOnce    float64 `json:"at_once_cpu_us"`
	Segment   float64 `json:"segment_cpu_us"`
	Row       float64 `json:"row_cpu_us"`      // few broadcasts by one goroutine
	LongRow   float64 `json:"long_row_cpu_us"` // total broadcasts by one goroutine
	Calls     float64 `json:"hub_calls_cpu_us"`
	OneCaller float64 `json:"hub_one_cpu_us"`
	Lone      float64 `json:"lone_cpu_us"`
	LoneP50   float64 `json:"lone_p50_ms"` // until the last receiver has it

	Single probes `json:"beside_single"` // while a peer sends one message at a time
	Pairs  probes `json:"beside_pairs"`  // while it sends two in one segment
}

type parent struct {
	config
	*harness.Child
	ctx             context.Context
	all, group, hub *receivers
	peer            *harness.Client // on the group's Manager, outside the group
}

func measure(ctx context.Context, cfg config) (res result, err error) {
	res.Driver = cfg.driver.String()
	err = harness.WithChild(ctx, childConfig{cfg.driver}, func(ctx context.Context, child *harness.Child) error {
		p := &parent{config: cfg, Child: child, ctx: ctx}
		if err := p.connect(); err != nil {
			return err
		}
		for i := range p.rounds + 1 {
			r, err := p.round()
			if err != nil {
				return err
			}
			if i > 0 { // the first round warms up
				res.Rounds = append(res.Rounds, r)
			}
		}
		return nil
	})
	return res, err
}

func (p *parent) connect() error {
	var bystander, peer *receivers
	for _, open := range []struct {
		set  **receivers
		n    int
		path string
		size int
	}{
		{&p.all, p.n, "/all", size}, {&p.group, p.config.group, "/group?as=" + asReceiver, size},
		{&bystander, 1, "/group?as=" + asBystander, size}, {&peer, 1, "/group?as=" + asPeer, size}, {&p.hub, p.n, "/hub", 0},
	} {
		var err error
		if *open.set, err = p.open(open.n, open.path, open.size); err != nil {
			return err
		}
	}
	p.peer = peer.clients[0]
	return p.hub.await(p.ctx, 1, func() error {
		for _, c := range p.hub.clients {
			if err := c.Send([]byte(`{"protocol":"json","version":1}` + "\x1e")); err != nil {
				return err
			}
		}
		return nil
	})
}

// round runs each load once.
func (p *parent) round() (r round, err error) {
	each := p.total / goroutines
	segment := frames(few)
	for _, step := range []func() error{
		func() error { return p.byPeer(&r.Peer) },
		func() error { return p.byServer(&r.AtOnce, work{Goroutines: goroutines, Each: each}) },
		func() error { return p.byCalls(&r.Calls, min(goroutines, p.n), each) },
		func() error { return p.byCalls(&r.OneCaller, 1, p.total) },
		func() error { return p.byServer(&r.LongRow, work{Goroutines: 1, Each: p.total}) },
		func() error {
			return p.repeat(&r.Row, func(cpu *float64) error { return p.byServer(cpu, work{Goroutines: 1, Each: few}) })
		},
		func() error {
			return p.repeat(&r.Segment, func(cpu *float64) error {
				return p.deliver(cpu, p.group, few, func() error { return write(p.peer, segment) })
			})
		},
		func() error { return p.beside(&r.Single, 1) },
		func() error { return p.beside(&r.Pairs, 2) },
		func() error { return p.single(&r.Lone, &r.LoneP50) },
	} {
		if err := step(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// cost stores the server's processor time of run per message and receiver.
func (p *parent) cost(cpu *float64, to *receivers, messages int, run func() error) error {
	var before, after time.Duration
	if err := p.Ask("/cpu", &before); err != nil {
		return err
	}
	if err := run(); err != nil {
		return err
	}
	err := p.Ask("/cpu", &after)
	*cpu = harness.Microseconds(after-before) / float64(messages*len(to.clients))
	return err
}

// deliver is cost of messages that are all sent before their deliveries are awaited.
func (p *parent) deliver(cpu *float64, to *receivers, messages int, send func() error) error {
	return p.cost(cpu, to, messages, func() error { return to.await(p.ctx, messages, send) })
}

// repeat stores the mean of several runs.
func (p *parent) repeat(mean *float64, run func(cpu *float64) error) error {
	for range p.repeats {
		var cpu float64
		if err := run(&cpu); err != nil {
			return err
		}
		*mean += cpu / float64(p.repeats)
	}
	return nil
}

// frames returns n messages as a client sends them in one segment.
func frames(n int) []byte {
	f := ws.MaskFrameInPlace(ws.NewTextFrame([]byte(strings.Repeat("x", size))))
	return bytes.Repeat(ws.MustCompileFrame(f), n)
}

// call is a call of the hub's method without a result.
var call = ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame(
	fmt.Appendf(nil, `{"type":1,"target":"Say","arguments":["%s"]}`+"\x1e", strings.Repeat("x", size)))))

func write(c *harness.Client, p []byte) error {
	_, err := c.Conn.Write(p)
	return err
}

// byServer lets the server broadcast to all.
func (p *parent) byServer(cpu *float64, w work) error {
	return p.deliver(cpu, p.all, w.Goroutines*w.Each, func() error { return p.Ask(w.path(), new(bool)) })
}

// byPeer lets one client send messages, inFlight at a time.
func (p *parent) byPeer(cpu *float64) error {
	segment := frames(inFlight)
	windows := max(1, p.total/inFlight)
	return p.cost(cpu, p.all, windows*inFlight, func() error {
		for range windows {
			if err := p.all.await(p.ctx, inFlight, func() error { return write(p.all.clients[0], segment) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// byCalls lets clients of the hub send calls, each with a write of its own.
func (p *parent) byCalls(cpu *float64, clients, each int) error {
	return p.deliver(cpu, p.hub, clients*each, func() error {
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

// beside probes while a peer sends segments of messages to the group. It sends the next
// one after all have received the last.
func (p *parent) beside(found *probes, messages int) error {
	probed := make(chan error, 1)
	go func() { probed <- p.Ask(fmt.Sprintf("/probe?n=%d", p.probes), found) }()
	segment := frames(messages)
	for {
		if err := p.group.await(p.ctx, messages, func() error { return write(p.peer, segment) }); err != nil {
			return errors.Join(err, <-probed)
		}
		select {
		case err := <-probed:
			return err
		default:
		}
	}
}

// single lets the server broadcast one message at a time, with pauses.
func (p *parent) single(cpu, p50 *float64) error {
	arrivals := make([]arrival, p.lone)
	p.all.arrivals.Store(&arrivals)
	defer p.all.arrivals.Store(nil)
	err := p.byServer(cpu, work{Goroutines: 1, Each: p.lone, Pause: lonePause})
	var took []float64
	for i := range arrivals {
		took = append(took, harness.Milliseconds(time.Duration(arrivals[i].took.Load())))
	}
	*p50 = harness.Median(took)
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

type childConfig struct{ Driver wsmanager.Driver }

// size is the length of a message, and of the argument of a hub call.
const size = 128

// server is the child: a Manager that broadcasts messages to all, a Manager that
// broadcasts the messages of a peer to a group, and a hub whose method Say calls all
// clients.
type server struct {
	all, group *wsmanager.Manager
	hub        *hub.Hub

	mu        sync.Mutex // guards bystander
	bystander *wsmanager.Conn
}

const groupName = "receivers"

// The roles of connections of the group's Manager.
const (
	asReceiver  = "receiver"
	asPeer      = "peer"
	asBystander = "bystander" // outside the group: its calls are probed
)

func child(ctx context.Context, cfg childConfig) error {
	s := &server{}
	if err := s.start(cfg.Driver); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/all", s.all)
	mux.Handle("/group", s.group)
	mux.Handle("/hub", s.hub)
	mux.HandleFunc("/cpu", func(w http.ResponseWriter, _ *http.Request) { harness.Answer(w, harness.OwnCPU(), nil) })
	mux.HandleFunc("/broadcast", s.broadcast)
	mux.HandleFunc("/probe", s.probe)
	return harness.Serve(ctx, mux) // without a drain: the parent reads no further
}

// start makes the Managers and the hub. Their outboxes hold a whole load, so that no
// message is dropped, and no ping is sent during it.
func (s *server) start(driver wsmanager.Driver) (err error) {
	opts := wsmanager.Options{
		Driver:   driver,
		Outbox:   wsmanager.Outbox{Messages: 100_000, Bytes: 64 << 20},
		Timeouts: wsmanager.Timeouts{PingInterval: time.Hour, Idle: 2 * time.Hour},
		Logger:   slog.New(slog.DiscardHandler),
	}
	s.all, err = wsmanager.New(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			c.Manager().Broadcast(msg)
			return nil
		},
	}, opts)
	if err != nil {
		return err
	}
	s.group, err = wsmanager.New(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Value: r.URL.Query().Get("as")}, nil
		},
		OnConnect: s.connect,
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			c.Manager().Group(groupName).Send(msg)
			return nil
		},
	}, opts)
	if err != nil {
		return err
	}
	s.hub, err = hub.New(hub.Methods{
		"Say": func(ctx *hub.Context, text string) error { return ctx.Clients().All().Send("say", text) },
	}, hub.Options{KeepAliveInterval: time.Hour, ClientTimeout: 2 * time.Hour, WebSocket: opts, Logger: opts.Logger})
	return err
}

func (s *server) connect(c *wsmanager.Conn) error {
	switch as, _ := wsmanager.Value[string](c); as {
	case asReceiver:
		return c.Join(groupName)
	case asBystander:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bystander = c
	}
	return nil
}

// work is a load that the server generates itself: broadcasts to all.
type work struct {
	Goroutines int
	Each       int           // broadcasts of each goroutine
	Pause      time.Duration // after each broadcast
}

func (w work) path() string {
	return fmt.Sprintf("/broadcast?goroutines=%d&each=%d&pause=%d", w.Goroutines, w.Each, w.Pause)
}

// headSize is the length of the head of such a message: the time of its broadcast in
// nanoseconds since 1970 and its number, each in 16 hexadecimal digits.
const headSize = 32

func (s *server) broadcast(w http.ResponseWriter, r *http.Request) {
	var load work
	_, err := fmt.Sscan(r.FormValue("goroutines")+" "+r.FormValue("each")+" "+r.FormValue("pause"), &load.Goroutines, &load.Each, (*int64)(&load.Pause))
	filler := strings.Repeat("x", size-headSize)
	var wg sync.WaitGroup
	for g := range load.Goroutines {
		wg.Go(func() {
			for i := range load.Each {
				s.all.Broadcast(wsmanager.Text(fmt.Sprintf("%016x%016x%s", time.Now().UnixNano(), g*load.Each+i, filler)))
				if load.Pause > 0 {
					time.Sleep(load.Pause)
				}
			}
		})
	}
	wg.Wait()
	harness.Answer(w, true, err)
}

// probes is the answer to /probe: latencies of calls on the bystander.
type probes struct {
	Send harness.Latency `json:"send"`
	Join harness.Latency `json:"join_and_leave"`
}

const probePause = 300 * time.Microsecond

// probe calls Send, and Join with Leave, n times.
func (s *server) probe(w http.ResponseWriter, r *http.Request) {
	var n int
	_, err := fmt.Sscan(r.FormValue("n"), &n)
	s.mu.Lock()
	c := s.bystander
	s.mu.Unlock()
	msg := wsmanager.Text(strings.Repeat("x", size))
	sends, joins := make([]time.Duration, n), make([]time.Duration, n)
	for i := range n {
		time.Sleep(probePause)
		began := time.Now()
		err = errors.Join(err, c.Send(msg))
		sent := time.Now()
		err = errors.Join(err, c.Join("another group"))
		_ = c.Leave("another group")
		sends[i], joins[i] = sent.Sub(began), time.Since(sent)
	}
	harness.Answer(w, probes{harness.LatencyOf(sends), harness.LatencyOf(joins)}, err)
}

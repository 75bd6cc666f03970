package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// size is how many bytes a message has, and the argument of a hub's.
const size = 128

// server is the child: a Manager whose peers' messages go to all, one whose peers'
// messages go to a group of which they are no members, and a hub whose method Say calls
// all clients.
type server struct {
	all, group *wsmanager.Manager
	hub        *hub.Hub

	mu        sync.Mutex
	bystander *wsmanager.Conn // of the second Manager, in no group
}

// receivers is the group.
const receivers = "receivers"

// What a connection of the second Manager is.
const (
	asReceiver  = "receiver"
	asPeer      = "peer"
	asBystander = "bystander"
)

// hello is what the child says first.
type hello struct{ Addr string }

func child(args []string, out *json.Encoder) error {
	flags := flag.NewFlagSet("child", flag.ContinueOnError)
	var driver harness.Driver
	flags.Var(&driver, "driver", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := &server{}
	if err := s.start(driver.Driver); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/all", s.all)
	mux.Handle("/group", s.group)
	mux.Handle("/hub", s.hub)
	mux.HandleFunc("/cpu", func(w http.ResponseWriter, _ *http.Request) { harness.Answer(w, harness.OwnCPU()) })
	mux.HandleFunc("/broadcast", s.broadcast)
	mux.HandleFunc("/probe", s.probe)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := out.Encode(hello{ln.Addr().String()}); err != nil {
		return err
	}
	// The parent has what it wants and reads no further: nobody is to be drained.
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })() // Serve tells
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// start makes the Managers and the hub. All that a load sends has room in the outboxes,
// so that no figure is one of messages that were dropped.
func (s *server) start(driver wsmanager.Driver) (err error) {
	opts := wsmanager.Options{
		Driver: driver, OutboxMessages: 100_000, OutboxBytes: 64 << 20,
		PingInterval: time.Hour, IdleTimeout: 2 * time.Hour, // no ping among what is counted
		Logger: slog.New(slog.DiscardHandler),
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
			c.Manager().Group(receivers).Broadcast(msg)
			return nil
		},
	}, opts)
	if err != nil {
		return err
	}
	s.hub, err = hub.New(hub.Methods{
		"Say": func(ctx *hub.Context, text string) error { return ctx.Clients().All().Send("say", text) },
	}, hub.Options{
		KeepAliveInterval: time.Hour,
		ClientTimeout:     2 * time.Hour,
		WebSocket:         opts,
		Logger:            opts.Logger,
	})
	return err
}

func (s *server) connect(c *wsmanager.Conn) error {
	switch as, _ := wsmanager.Value[string](c); as {
	case asReceiver:
		return c.Join(receivers)
	case asBystander:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bystander = c
	}
	return nil
}

// work is what the server broadcasts to all of the first Manager by itself.
type work struct {
	goroutines int
	each       int           // broadcasts of each goroutine
	pause      time.Duration // after each
}

func (w work) total() int { return w.goroutines * w.each }

func (w work) path() string {
	return fmt.Sprintf("/broadcast?goroutines=%d&each=%d&pause=%v", w.goroutines, w.each, w.pause)
}

// headSize is how a message of such work begins: when its broadcast began, in nanoseconds
// since 1970, and its number, each in 16 hexadecimal digits.
const headSize = 32

func (s *server) broadcast(w http.ResponseWriter, r *http.Request) {
	var todo work
	_, err := fmt.Sscan(r.FormValue("goroutines")+" "+r.FormValue("each"), &todo.goroutines, &todo.each)
	if err == nil {
		todo.pause, err = time.ParseDuration(r.FormValue("pause"))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	filler := strings.Repeat("x", size-headSize)
	var wg sync.WaitGroup
	for g := range todo.goroutines {
		wg.Go(func() {
			for i := range todo.each {
				s.all.Broadcast(wsmanager.Text(fmt.Sprintf("%016x%016x%s", time.Now().UnixNano(), g*todo.each+i, filler)))
				if todo.pause > 0 {
					time.Sleep(todo.pause)
				}
			}
		})
	}
	wg.Wait()
	harness.Answer(w, true)
}

// probes is how long calls took for a connection that gets none of the broadcasts.
type probes struct {
	Send latency `json:"send"`
	Join latency `json:"join_and_leave"`
}

// latency is in microseconds.
type latency struct {
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	Longest float64 `json:"longest_us"`
}

func latencyOf(all []time.Duration) latency {
	slices.Sort(all)
	us := func(p float64) float64 { return float64(harness.Percentile(all, p)) / 1e3 }
	return latency{us(50), us(99), us(100)}
}

// probePause is between two probes.
const probePause = 300 * time.Microsecond

// probe calls Send, and Join and Leave, of the bystander again and again.
func (s *server) probe(w http.ResponseWriter, r *http.Request) {
	var n int
	if _, err := fmt.Sscan(r.FormValue("n"), &n); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	c := s.bystander
	s.mu.Unlock()
	msg := wsmanager.Text(strings.Repeat("x", size))
	sends, joins := make([]time.Duration, n), make([]time.Duration, n)
	for i := range n {
		time.Sleep(probePause)
		began := time.Now()
		err := c.Send(msg)
		sent := time.Now()
		err = errors.Join(err, c.Join("another group"))
		c.Leave("another group")
		sends[i], joins[i] = sent.Sub(began), time.Since(sent)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	harness.Answer(w, probes{latencyOf(sends), latencyOf(joins)})
}

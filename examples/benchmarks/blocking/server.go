package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// server is the child: one Manager for all kinds of sockets, and endpoints for the
// parent to steer it.
type server struct {
	m       *wsmanager.Manager
	sleep   time.Duration
	release chan struct{} // closed when those that block for ever may go on

	slept   atomic.Int64 // messages
	blocked atomic.Int64 // callbacks that block
}

// hello is what the child says first.
type hello struct{ Addr string }

func child(args []string, out *json.Encoder) error {
	flags := flag.NewFlagSet("child", flag.ContinueOnError)
	var driver harness.Driver
	flags.Var(&driver, "driver", "")
	sleep := flags.Duration("sleep", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := &server{sleep: *sleep, release: make(chan struct{})}
	m, err := wsmanager.New(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Value: r.URL.Query().Get("do")}, nil
		},
		OnMessage: s.message,
	}, wsmanager.Options{Driver: driver.Driver, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s.m = m
	mux := http.NewServeMux()
	mux.Handle("/ws", m)
	mux.HandleFunc("/status", s.status)
	mux.HandleFunc("/shutdown", s.shutdown)
	mux.HandleFunc("/release", func(w http.ResponseWriter, _ *http.Request) {
		close(s.release)
		harness.Answer(w, true)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := out.Encode(hello{ln.Addr().String()}); err != nil {
		return err
	}
	// The parent has ended the Manager: there is nothing to drain.
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })() // Serve tells
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// message echoes, once it has done what the connection is for.
func (s *server) message(c *wsmanager.Conn, m wsmanager.Message) error {
	switch do, _ := wsmanager.Value[string](c); do {
	case "sleep":
		time.Sleep(s.sleep)
		s.slept.Add(1)
	case "block":
		s.blocked.Add(1)
		<-s.release
	}
	return c.Send(m)
}

// status is what the parent wants to know.
type status struct {
	Connections int
	Goroutines  int
	Blocked     int64 // callbacks
	Slept       int64 // messages
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	harness.Answer(w, status{s.m.Len(), runtime.NumGoroutine(), s.blocked.Load(), s.slept.Load()})
}

// end is how a Shutdown went.
type end struct {
	Took time.Duration `json:"took_ns"`
	Err  string        `json:"err,omitempty"`
}

func (s *server) shutdown(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.FormValue("d"))
	if err != nil {
		http.Error(w, "d=1s", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var e end
	began := time.Now()
	err = s.m.Shutdown(ctx)
	e.Took = time.Since(began)
	if err != nil {
		e.Err = err.Error()
	}
	harness.Answer(w, e)
}

package main

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

type childConfig struct {
	Driver wsmanager.Driver
	Sleep  time.Duration
}

// server is the child: one Manager, and endpoints for the parent.
type server struct {
	m       *wsmanager.Manager
	sleep   time.Duration
	release chan struct{} // closed to release blocked callbacks

	slept   atomic.Int64 // messages
	blocked atomic.Int64 // callbacks
}

func child(ctx context.Context, cfg childConfig) error {
	s := &server{sleep: cfg.Sleep, release: make(chan struct{})}
	m, err := wsmanager.New(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Value: r.URL.Query().Get("do")}, nil
		},
		OnMessage: s.message,
	}, wsmanager.Options{Driver: cfg.Driver, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s.m = m
	mux := http.NewServeMux()
	mux.Handle("/ws", m)
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		harness.Answer(w, status{m.All().Len(), runtime.NumGoroutine(), s.blocked.Load(), s.slept.Load()}, nil)
	})
	mux.HandleFunc("/shutdown", s.shutdown)
	mux.HandleFunc("/release", func(w http.ResponseWriter, _ *http.Request) {
		close(s.release)
		harness.Answer(w, true, nil)
	})
	return harness.Serve(ctx, mux) // the parent has shut the Manager down
}

// message echoes after it has done the task of its connection.
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

// status is the answer to /status.
type status struct {
	Connections int
	Goroutines  int
	Blocked     int64 // callbacks
	Slept       int64 // messages
}

// shutdown is the answer to /shutdown.
type shutdown struct {
	Took time.Duration `json:"took_ns"`
	Err  string        `json:"err,omitempty"`
}

func (s *server) shutdown(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.FormValue("d"))
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var answer shutdown
	began := time.Now()
	failed := s.m.Shutdown(ctx)
	answer.Took = time.Since(began)
	if failed != nil {
		answer.Err = failed.Error()
	}
	harness.Answer(w, answer, err)
}

package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// hello is what the child says first.
type hello struct{ Addr string }

// reading is what the server has used up at one time.
type reading struct {
	CPU      time.Duration
	BytesOut uint64
}

// status is what the parent wants to know at the end.
type status struct {
	Broadcasts  int
	First, Last reading // after the first and the last broadcast
}

// child is the server: a Manager that broadcasts what it receives.
func child(args []string, out *json.Encoder) error {
	flags := flag.NewFlagSet("child", flag.ContinueOnError)
	var driver harness.Driver
	flags.Var(&driver, "driver", "")
	level := flags.Int("level", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var mu sync.Mutex // guards st
	var st status
	m, err := wsmanager.New(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			c.Manager().Broadcast(msg)
			mu.Lock()
			defer mu.Unlock()
			st.Last = reading{harness.OwnCPU(), c.Manager().Stats().BytesOut}
			if st.Broadcasts == 0 {
				st.First = st.Last
			}
			st.Broadcasts++
			return nil
		},
	}, wsmanager.Options{
		Driver: driver.Driver, Compression: wsmanager.Compression{Enabled: *level != 0, Level: *level}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", m)
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		harness.Answer(w, st)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := out.Encode(hello{ln.Addr().String()}); err != nil {
		return err
	}
	return pipeline.ServeListener(ctx, ln, &http.Server{Handler: mux}, m.Shutdown)
}

package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// hello is what the child says first.
type hello struct{ Addr string }

// status is what the parent wants to know.
type status struct {
	Connections int   `json:"connections"`
	Compressing int   `json:"compressing"` // of all that ever were
	Goroutines  int   `json:"goroutines"`
	RSS         int64 `json:"rss_bytes"` // the parent's to fill in
	BytesIn     uint64
}

// child is the server: a Manager with callbacks and the default options.
func child(args []string, out *json.Encoder) error {
	flags := flag.NewFlagSet("child", flag.ContinueOnError)
	var driver harness.Driver
	flags.Var(&driver, "driver", "")
	ping := flags.Duration("ping", 0, "")
	compress := flags.Bool("compress", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	m, err := wsmanager.New(wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { return nil },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(*wsmanager.Conn, error) {},
	}, wsmanager.Options{Driver: driver.Driver, PingInterval: *ping, Compression: wsmanager.Compression{Enabled: *compress}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", m)
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("collect") {
			runtime.GC() // what one collection finalises, the next one frees
			debug.FreeOSMemory()
		}
		st := m.Stats()
		harness.Answer(w, status{Connections: m.Len(), Compressing: int(st.Compressed.Accepted), Goroutines: runtime.NumGoroutine(), BytesIn: st.BytesIn})
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

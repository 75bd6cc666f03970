package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

type childConfig struct{ Broadcasts time.Duration }

const broadcastSize = 512

// farewell is the report of the child after its server has ended.
type farewell struct {
	Before      usage           `json:"before"` // the first connection
	Full        usage           `json:"full"`   // at SIGTERM
	After       usage           `json:"after"`
	Drain       time.Duration   `json:"drain_ns"` // SIGTERM until Serve returned
	Broadcasts  int             `json:"broadcasts"`
	Stats       wsmanager.Stats `json:"stats"`
	Connections int             `json:"connections"` // at SIGTERM
}

type usage struct {
	Goroutines  int `json:"goroutines"`
	Descriptors int `json:"descriptors"` // -1 if unknown
}

func use() usage { return usage{runtime.NumGoroutine(), harness.Self().Descriptors()} }

// settle waits up to a second until goroutines and descriptors are as before: neither
// reports its end.
func settle(before usage) (u usage) {
	for range 100 {
		if u = use(); u.Goroutines <= before.Goroutines && u.Descriptors <= before.Descriptors {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return u
}

// child runs a Manager under pipeline.Serve and broadcasts, also during the drain.
func child(ctx context.Context, cfg childConfig) error {
	if err := openPoller(); err != nil {
		return err
	}
	last := farewell{Before: use()}
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error { return c.Send(msg) },
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	quit := make(chan struct{})
	var broadcasting sync.WaitGroup
	broadcasting.Go(func() {
		tick := time.NewTicker(cfg.Broadcasts)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.Broadcast(wsmanager.Binary(make([]byte, broadcastSize)))
				last.Broadcasts++
			case <-quit:
				return
			}
		}
	})
	terminated := make(chan time.Time, 1)
	context.AfterFunc(ctx, func() { terminated <- time.Now() })
	full := make(chan usage, 1)
	err := harness.Serve(ctx, m, func(ctx context.Context) error {
		full <- use()
		last.Connections = m.All().Len()
		return m.Shutdown(ctx)
	})
	if err != nil {
		return err
	}
	last.Drain = time.Since(<-terminated)
	close(quit)
	broadcasting.Wait()
	last.Full, last.Stats, last.After = <-full, m.Stats(), settle(last.Before)
	return json.NewEncoder(os.Stdout).Encode(last)
}

// openPoller makes the runtime open the descriptors of its network poller, which it keeps.
func openPoller() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return ln.Close()
}

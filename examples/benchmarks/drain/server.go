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
	"sync"
	"syscall"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// hello is what the child says first.
type hello struct {
	Addr string
}

// farewell is what it says last.
type farewell struct {
	Before      usage           `json:"before"` // the first socket
	Full        usage           `json:"full"`   // when SIGTERM came
	After       usage           `json:"after"`
	Drain       time.Duration   `json:"drain_ns"` // from SIGTERM to Serve's return
	Broadcasts  int             `json:"broadcasts"`
	Stats       wsmanager.Stats `json:"stats"`
	Connections int             `json:"connections"` // when SIGTERM came
}

type usage struct {
	Goroutines  int `json:"goroutines"`
	Descriptors int `json:"descriptors"` // -1 where there is no /proc
}

func use() usage { return usage{runtime.NumGoroutine(), harness.Descriptors()} }

// settle waits for goroutines that are about to end: nothing tells when one has.
func settle(before usage) (u usage) {
	for range 100 {
		if u = use(); u.Goroutines <= before.Goroutines && u.Descriptors <= before.Descriptors {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return u
}

// child is the server, as a program has it: a Manager under pipeline.Serve, with
// broadcasts running.
func child(args []string, out *json.Encoder) error {
	flags := flag.NewFlagSet("child", flag.ContinueOnError)
	every := flags.Duration("broadcasts", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := warmUp(); err != nil {
		return err
	}
	before := use()

	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error { return c.Send(msg) },
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := out.Encode(hello{ln.Addr().String()}); err != nil {
		return err
	}
	quit := make(chan struct{})
	last := farewell{Before: before}
	var broadcasting sync.WaitGroup
	broadcasting.Go(func() {
		tick := time.NewTicker(*every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C: // goes on during the drain
				m.Broadcast(wsmanager.Binary(make([]byte, 512)))
				last.Broadcasts++
			case <-quit:
				return
			}
		}
	})
	terminated := make(chan time.Time, 1)
	context.AfterFunc(ctx, func() { terminated <- time.Now() })
	full := make(chan usage, 1)
	err = pipeline.ServeListener(ctx, ln, &http.Server{Handler: m}, func(ctx context.Context) error {
		full <- use()
		last.Connections = m.Len()
		return m.Shutdown(ctx)
	})
	last.Drain = time.Since(<-terminated)
	close(quit)
	broadcasting.Wait()
	last.Full, last.Stats, last.After = <-full, m.Stats(), settle(before)
	if err := out.Encode(last); err != nil {
		return err
	}
	return err
}

// warmUp makes the runtime open what it keeps: the poller has descriptors of its
// own.
func warmUp() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return ln.Close()
}

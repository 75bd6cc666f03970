package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

type config struct {
	n          int
	duration   time.Duration
	echo       time.Duration
	broadcasts time.Duration
}

type result struct {
	Clients  int            `json:"clients"`
	Ends     map[string]int `json:"ends"` // clients by close code or error
	Echoes   int64          `json:"echoes"`
	Received int64          `json:"received"` // broadcasts, by all clients together
	Exit     time.Duration  `json:"exit_ns"`  // SIGTERM until the end of its output
	Last     time.Duration  `json:"last_ns"`  // SIGTERM until the end of the last client
	Server   farewell       `json:"server"`
}

// clients generates the load.
type clients struct {
	reading  sync.WaitGroup
	echoes   atomic.Int64
	received atomic.Int64

	mu   sync.Mutex // guards ends
	ends map[string]int
}

func measure(ctx context.Context, cfg config) (res result, err error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.duration+2*time.Minute)
	defer cancel()
	err = harness.WithChild(ctx, childConfig{cfg.broadcasts}, func(ctx context.Context, child *harness.Child) error {
		res, err = load(ctx, cfg, child)
		return err
	})
	return res, err
}

func load(ctx context.Context, cfg config, child *harness.Child) (result, error) {
	res := result{Clients: cfg.n}
	l := &clients{ends: map[string]int{}}
	all := make([]*harness.Client, cfg.n)
	err := harness.DialAll(ctx, cfg.n, child.Addr+"/", func(i int, c *harness.Client) {
		all[i] = c
		l.reading.Go(func() { l.end(c, c.Read(make([]byte, len(echo)), l.message)) })
	})
	if err != nil {
		return res, err
	}
	var sending sync.WaitGroup
	stop := make(chan struct{})
	const senders = 16
	for s := range senders {
		sending.Go(func() { l.send(all, s, senders, cfg.echo, stop) })
	}
	time.Sleep(cfg.duration)
	began := time.Now()
	if err := child.Terminate(); err != nil {
		return res, err
	}
	ended := make(chan time.Duration, 1)
	go func() { l.reading.Wait(); ended <- time.Since(began) }()
	output := strings.Join(child.Output(), "\n")
	res.Exit = time.Since(began)
	if err := json.Unmarshal([]byte(output), &res.Server); err != nil {
		return res, err
	}
	select {
	case res.Last = <-ended:
	case <-ctx.Done():
		return res, context.Cause(ctx)
	}
	close(stop)
	sending.Wait()
	res.Ends, res.Echoes, res.Received = l.ends, l.echoes.Load(), l.received.Load()
	return res, nil
}

// echo is the message of the clients. Its length distinguishes it from a broadcast.
var echo = []byte("an echo from time to time")

func (l *clients) message(head []byte, length int) error {
	switch {
	case length == broadcastSize:
		l.received.Add(1)
	case bytes.Equal(head, echo) && length == len(echo):
		l.echoes.Add(1)
	default:
		return fmt.Errorf("unexpected message of %d bytes: %q", length, head)
	}
	return nil
}

// send sends from random clients of one share, also during the drain. A client may have
// ended: its reader records why.
func (l *clients) send(all []*harness.Client, first, step int, every time.Duration, stop chan struct{}) {
	share := (len(all) + step - 1) / step
	tick := time.NewTicker(every / time.Duration(share))
	defer tick.Stop()
	for {
		if i := first + step*rand.IntN(share); i < len(all) {
			_ = all[i].Send(echo) // the reader records the error
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// end records how a client ended.
func (l *clients) end(c *harness.Client, err error) {
	defer c.Conn.Close()
	name := err.Error()
	var closed *harness.ClosedError
	if errors.As(err, &closed) {
		name = fmt.Sprint(closed.Code)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[name]++
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// config is what to measure.
type config struct {
	n          int
	duration   time.Duration // of the load before SIGTERM
	echo       time.Duration // how often each client sends
	broadcasts time.Duration // how often one goes to all
}

// result is what was measured.
type result struct {
	Clients  int            `json:"clients"`
	Ends     map[string]int `json:"ends"` // how clients saw the end, by what
	Echoes   int64          `json:"echoes"`
	Received int64          `json:"received"` // broadcasts, by all clients
	Exit     time.Duration  `json:"exit_ns"`  // from SIGTERM to the child's last word
	Last     time.Duration  `json:"last_ns"`  // until the last client has seen the end
	Server   farewell       `json:"server"`
}

// clients is all the load.
type clients struct {
	ends     sync.Mutex // guards how
	how      map[string]int
	reading  sync.WaitGroup
	echoes   atomic.Int64
	received atomic.Int64
}

func measure(ctx context.Context, cfg config) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.duration+2*time.Minute)
	defer cancel()
	child, err := harness.StartChild("-broadcasts", cfg.broadcasts.String())
	if err != nil {
		return result{}, err
	}
	res, err := load(ctx, cfg, child)
	if err != nil {
		_ = child.Terminate() // it may have ended
	}
	return res, errors.Join(err, child.Wait())
}

func load(ctx context.Context, cfg config, child *harness.Child) (result, error) {
	var h hello
	if err := child.Read(&h); err != nil {
		return result{}, err
	}
	l := &clients{how: map[string]int{}}
	all := make([]*harness.Client, cfg.n)
	err := harness.DialAll(ctx, cfg.n, h.Addr+"/", func(i int, c *harness.Client) {
		all[i] = c
		l.reading.Go(func() { l.end(c, c.Read(make([]byte, len(echo)), l.message)) })
	})
	if err != nil {
		return result{}, err
	}

	var sending sync.WaitGroup
	stop := make(chan struct{})
	const senders = 16
	for s := range senders {
		sending.Go(func() { l.send(all, s, senders, cfg.echo, stop) })
	}
	time.Sleep(cfg.duration) // the load is what takes the time
	res := result{Clients: cfg.n}
	began := time.Now()
	if err := child.Terminate(); err != nil {
		return res, err
	}
	seen := make(chan time.Duration, 1)
	go func() { l.reading.Wait(); seen <- time.Since(began) }()
	err = child.Read(&res.Server)
	res.Exit = time.Since(began)
	if err != nil {
		return res, err
	}
	select {
	case res.Last = <-seen:
	case <-ctx.Done():
		return res, context.Cause(ctx)
	}
	close(stop)
	sending.Wait()
	res.Ends, res.Echoes, res.Received = l.how, l.echoes.Load(), l.received.Load()
	return res, nil
}

// echo is the message that clients send: told from broadcasts by its length.
var echo = []byte("an echo, now and then")

func (l *clients) message(head []byte, length int) error {
	switch length {
	case len(echo):
		if !bytes.Equal(head, echo) {
			return fmt.Errorf("the echo is %q", head)
		}
		l.echoes.Add(1)
	case 512:
		l.received.Add(1)
	default:
		return fmt.Errorf("a message of %d bytes", length)
	}
	return nil
}

// send has every client of its share send once in a while, through the drain as
// well.
func (l *clients) send(all []*harness.Client, first, step int, every time.Duration, stop chan struct{}) {
	share := (len(all) + step - 1) / step
	pause := every / time.Duration(share)
	for {
		i := first + step*rand.IntN(share)
		if i < len(all) {
			_ = all[i].Send(echo) // it may have ended: its reader says how
		}
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
	}
}

// end notes how a client ended.
func (l *clients) end(c *harness.Client, err error) {
	defer c.Conn.Close()
	what := err.Error()
	var closed *harness.Closed
	if errors.As(err, &closed) {
		what = fmt.Sprint(closed.Code)
	}
	l.ends.Lock()
	defer l.ends.Unlock()
	l.how[what]++
}

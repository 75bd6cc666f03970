package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

type config struct {
	driver      wsmanager.Driver
	duration    time.Duration
	warmUp      time.Duration
	round       time.Duration
	connections int
	rate        int
	broadcasts  int
	faulty      int
	compress    bool
}

type result struct {
	Base  usage `json:"base"` // of the server, after the warm-up
	End   usage `json:"end"`
	Ours  usage `json:"ours_before"` // of this process, which runs the clients with faults
	After usage `json:"ours_after"`

	Echo      load                       `json:"echo"`
	Broadcast load                       `json:"broadcast"`
	Faults    faults                     `json:"faults"`
	Since     uint64                     `json:"accepted_since_base"`
	Stats     map[string]wsmanager.Stats `json:"stats"`   // by endpoint
	Printed   []string                   `json:"printed"` // errors, by the server
}

// usage is a process's use of resources; -1 if unknown.
type usage struct {
	RSS         int64 `json:"rss_bytes"`
	Heap        int64 `json:"heap_bytes"` // live, after a collection
	Goroutines  int   `json:"goroutines"`
	Descriptors int   `json:"descriptors"`
	Connections int   `json:"connections"`
}

// smallest returns the minimum of each figure.
func smallest(a, b usage) usage {
	return usage{min(a.RSS, b.RSS), min(a.Heap, b.Heap), min(a.Goroutines, b.Goroutines), min(a.Descriptors, b.Descriptors), min(a.Connections, b.Connections)}
}

// own returns the use of this process.
func own() usage {
	return usage{Goroutines: runtime.NumGoroutine(), Descriptors: harness.Self().Descriptors()}
}

// soak is one run.
type soak struct {
	config
	dir      string
	loadtest string
	server   *harness.Server

	mu  sync.Mutex // guards res while there is load
	res result
}

func measure(ctx context.Context, cfg config) (res *result, err error) {
	s := &soak{config: cfg}
	if s.dir, err = os.MkdirTemp("", "soak"); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(s.dir) }() // the system cleans up temporary files
	if s.loadtest, err = harness.Build(ctx, s.dir, "examples/loadtest"); err != nil {
		return nil, err
	}
	echo, err := harness.Build(ctx, s.dir, "examples/echo")
	if err != nil {
		return nil, err
	}
	s.server, err = harness.StartServer(echo, "-addr", "127.0.0.1:0", "-debug", "-driver", cfg.driver.String(), fmt.Sprintf("-compress=%v", cfg.compress))
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, s.server.Stop())
		for _, line := range s.server.Output() {
			if !strings.Contains(line, "level=WARN") { // a panic has another level
				s.res.Printed = append(s.res.Printed, line)
			}
		}
	}()
	return &s.res, s.run(ctx)
}

func (s *soak) run(ctx context.Context) error {
	if err := s.load(ctx, s.warmUp); err != nil {
		return err
	}
	s.res.Ours = own()
	base, err := s.baseline(ctx)
	if err != nil {
		return err
	}
	before, err := s.stats(ctx)
	if err != nil {
		return err
	}
	if err := s.load(ctx, s.duration); err != nil {
		return err
	}
	s.res.Base = base
	if s.res.End, err = s.settle(ctx, base); err != nil {
		return err
	}
	for range 100 { // goroutines do not report their end
		if s.res.After = own(); s.res.After.Goroutines <= s.res.Ours.Goroutines && s.res.After.Descriptors <= s.res.Ours.Descriptors {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s.res.Stats, err = s.stats(ctx); err != nil {
		return err
	}
	for path, st := range s.res.Stats {
		s.res.Since += st.Accepted - before[path].Accepted
	}
	return nil
}

// use returns the server's use.
func (s *soak) use(ctx context.Context) (usage, error) {
	var mem struct {
		Connections int
		Goroutines  int
		HeapAlloc   int64 `json:"heap_alloc"`
	}
	err := harness.Ask(ctx, s.server.Addr+"/mem", &mem)
	return usage{s.server.RSS(), mem.HeapAlloc, mem.Goroutines, s.server.Descriptors(), mem.Connections}, err
}

func (s *soak) stats(ctx context.Context) (all map[string]wsmanager.Stats, err error) {
	err = harness.Ask(ctx, s.server.Addr+"/stats", &all)
	return all, err
}

// baseline waits until no connection is open and returns the smallest use during three
// seconds: a baseline that is too high would hide leaks.
func (s *soak) baseline(ctx context.Context) (usage, error) {
	u, err := s.settle(ctx, usage{})
	for range 10 {
		if err != nil {
			return u, err
		}
		time.Sleep(300 * time.Millisecond)
		var now usage
		now, err = s.use(ctx)
		u = smallest(u, now)
	}
	return u, err
}

// settle waits until no connection is open and the use is within the bounds of base, if
// there is one. It gives up after 30 s: a larger use is a finding.
func (s *soak) settle(ctx context.Context, base usage) (u usage, err error) {
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
		if u, err = s.use(ctx); err != nil {
			return u, err
		}
		if u.Connections == 0 && (base == usage{} || !u.above(base)) {
			break
		}
	}
	return u, nil
}

// load runs the whole load for a duration.
func (s *soak) load(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	until := time.Now().Add(d)
	var wg sync.WaitGroup
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	run(func(ctx context.Context) error {
		return s.runLoadtest(ctx, &s.res.Broadcast, d, "broadcast", s.broadcasts)
	})
	run(func(ctx context.Context) error {
		for left := time.Until(until); left >= time.Second; left = time.Until(until) {
			if err := s.runLoadtest(ctx, &s.res.Echo, min(left, s.round), "echo", s.rate); err != nil {
				return err
			}
		}
		return nil
	})
	for range s.faulty {
		run(func(ctx context.Context) error {
			for ctx.Err() == nil && time.Now().Before(until) {
				if err := s.visit(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

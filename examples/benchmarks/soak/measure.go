package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// config is what to do.
type config struct {
	driver      harness.Driver
	duration    time.Duration
	warmUp      time.Duration
	round       time.Duration
	connections int
	rate        int
	broadcasts  int
	faulty      int
	compress    bool
}

// result is what was measured.
type result struct {
	Base  usage `json:"base"` // of the server, after the warm-up
	End   usage `json:"end"`
	Ours  usage `json:"ours_before"` // of the clients with faults: this process
	After usage `json:"ours_after"`

	Echo      load                       `json:"echo"`
	Broadcast load                       `json:"broadcast"`
	Faults    faults                     `json:"faults"`
	Since     uint64                     `json:"accepted_since_base"`
	Stats     map[string]wsmanager.Stats `json:"stats"`
	Printed   []string                   `json:"printed"` // errors, by the server
}

// usage is what a process holds; -1 where the system does not tell.
type usage struct {
	RSS         int64 `json:"rss_bytes"`
	Heap        int64 `json:"heap_bytes"` // live, after a collection
	Goroutines  int   `json:"goroutines"`
	Descriptors int   `json:"descriptors"`
	Connections int   `json:"connections"`
}

// least is the smaller one of each.
func least(a, b usage) usage {
	return usage{min(a.RSS, b.RSS), min(a.Heap, b.Heap), min(a.Goroutines, b.Goroutines), min(a.Descriptors, b.Descriptors), min(a.Connections, b.Connections)}
}

// load is what the runs of loadtest add up to.
type load struct {
	Runs        int      `json:"runs"`
	Connections uint64   `json:"connections"`
	Sent        uint64   `json:"sent"`
	Received    uint64   `json:"received"`
	Failed      []string `json:"failed,omitempty"` // what those said that did not end with status 0
}

// soak is one run.
type soak struct {
	config
	dir      string
	loadtest string
	server   *harness.Server

	mu  sync.Mutex // guards what follows
	res result
}

func measure(ctx context.Context, cfg config) (res *result, err error) {
	s := &soak{config: cfg}
	if s.dir, err = os.MkdirTemp("", "soak"); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(s.dir) }() // it is in the folder for temporary files
	if s.loadtest, err = harness.Build(ctx, s.dir, "loadtest"); err != nil {
		return nil, err
	}
	echo, err := harness.Build(ctx, s.dir, "echo")
	if err != nil {
		return nil, err
	}
	s.server, err = harness.StartServer(echo, "-addr", "127.0.0.1:0", "-debug", "-driver", cfg.driver.String(), fmt.Sprintf("-compress=%v", cfg.compress))
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, s.server.Stop())
		for _, line := range s.server.Printed() {
			if !strings.Contains(line, "level=WARN") { // nor is a panic's
				s.res.Printed = append(s.res.Printed, line)
			}
		}
	}()
	return &s.res, s.all(ctx)
}

// all is the course of a run.
func (s *soak) all(ctx context.Context) error {
	if err := s.load(ctx, s.warmUp); err != nil {
		return err
	}
	s.res.Ours = own()
	base, err := s.calm(ctx)
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
	for range 100 { // a goroutine that is about to end does not tell
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

// own is what this process holds.
func own() usage {
	return usage{Goroutines: runtime.NumGoroutine(), Descriptors: harness.Descriptors()}
}

// use asks the server what it holds.
func (s *soak) use(ctx context.Context) (u usage, err error) {
	var mem struct {
		Connections int
		Goroutines  int
		HeapAlloc   int64 `json:"heap_alloc"`
	}
	if err := harness.Ask(ctx, s.server.Addr+"/mem", &mem); err != nil {
		return u, err
	}
	return usage{s.server.RSS(), mem.HeapAlloc, mem.Goroutines, s.server.Descriptors(), mem.Connections}, nil
}

func (s *soak) stats(ctx context.Context) (all map[string]wsmanager.Stats, err error) {
	return all, harness.Ask(ctx, s.server.Addr+"/stats", &all)
}

// calm waits until no connection is left and takes the least of what there is for three
// seconds: too high a base line would be too easy a bound.
func (s *soak) calm(ctx context.Context) (usage, error) {
	u, err := s.settle(ctx, usage{})
	for range 10 {
		if err != nil {
			return u, err
		}
		time.Sleep(300 * time.Millisecond)
		var now usage
		now, err = s.use(ctx)
		u = least(u, now)
	}
	return u, err
}

// settle waits until the server holds no more than the base line, or if there is none
// until it has no connection; not for ever: what it holds then is a finding.
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

// load puts all load on the server, for so long.
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
		for {
			left := time.Until(until)
			if left < time.Second { // none at all is shorter
				return nil
			}
			if err := s.runLoadtest(ctx, &s.res.Echo, min(left, s.round), "echo", s.rate); err != nil {
				return err
			}
		}
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

// summary is the part of loadtest's that is of use here.
type summary struct {
	Connections struct{ Made uint64 }
	Messages    struct{ Sent, Received uint64 }
}

// runLoadtest runs it once. That something is wrong with messages is a finding and no
// error.
func (s *soak) runLoadtest(ctx context.Context, to *load, d time.Duration, mode string, rate int) error {
	file := filepath.Join(s.dir, mode+".json")
	args := []string{"-url", "ws://" + s.server.Addr + "/" + mode, "-mode", mode, "-quiet", "-json", file,
		"-timeout", "1m", // on a busy machine answers take their time
		"-connections", fmt.Sprint(s.connections), "-rate", fmt.Sprint(rate), "-duration", d.String(), "-size", "512"}
	if s.compress {
		args = append(args, "-compress", "-payload", "json")
	}
	out, failed := exec.CommandContext(ctx, s.loadtest, args...).CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var status *exec.ExitError
	if failed != nil && (!errors.As(failed, &status) || status.ExitCode() != 1) {
		return fmt.Errorf("loadtest: %w: %s", failed, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var sum summary
	if err := json.Unmarshal(text, &sum); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Runs++
	to.Connections += sum.Connections.Made
	to.Sent += sum.Messages.Sent
	to.Received += sum.Messages.Received
	if failed != nil {
		to.Failed = append(to.Failed, fmt.Sprintf("loadtest -mode %s: %v\n%s", mode, failed, out))
	}
	return nil
}

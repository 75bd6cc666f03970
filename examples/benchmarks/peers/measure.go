//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/load"
)

// size is the length of all messages in bytes.
const size = 128

// test is one measurement and the names of its figures.
type test struct {
	figures []string
	run     func(load.Server) ([]float64, error)
}

// The figures. Processor time is in microseconds.
const (
	idleBytes = "idle_bytes"           // resident memory per connection
	openCPU   = "open_cpu_us"          // per connection
	echoFew   = "echo_few_cpu_us"      // per message
	echoMany  = "echo_many_cpu_us"     // per message
	bcMany    = "broadcast_cpu_us"     // per delivery to many
	bcAll     = "broadcast_all_cpu_us" // per delivery to ten times as many
	bcJoined  = "broadcast_joined_cpu_us"
	bcRate    = "broadcast_joined_per_s"
)

// scale is the size of the tests: numbers of connections, durations and broadcasts.
type scale struct {
	idle, few, many, all int
	settle, warm, echo   time.Duration
	broadcasts           int // to many
}

var (
	full  = scale{idle: 15000, few: 100, many: 1000, all: 10000, settle: 2 * time.Second, warm: time.Second, echo: 4 * time.Second, broadcasts: 400}
	quick = scale{idle: 90, few: 3, many: 10, all: 20, settle: 10 * time.Millisecond, warm: 10 * time.Millisecond, echo: 50 * time.Millisecond, broadcasts: 20}
)

func (s scale) tests() []test {
	echo := func(n int) func(load.Server) ([]float64, error) {
		return func(srv load.Server) ([]float64, error) {
			w, err := load.Echo(srv, n, size, s.warm, s.echo)
			return []float64{perMessage(w)}, err
		}
	}
	broadcast := func(n, inFlight, count int) func(load.Server) ([]float64, error) {
		return func(srv load.Server) ([]float64, error) {
			w, err := load.Broadcast(srv, n, size, inFlight, count/10, count)
			return []float64{perMessage(w), float64(w.Messages) / w.Time.Seconds()}, err
		}
	}
	return []test{
		{[]string{idleBytes, openCPU}, func(srv load.Server) ([]float64, error) {
			bytes, opening, err := load.Idle(srv, s.idle, s.settle)
			return []float64{bytes, harness.Microseconds(opening)}, err
		}},
		{[]string{echoFew}, echo(s.few)},
		{[]string{echoMany}, echo(s.many)},
		{[]string{bcMany}, broadcast(s.many, 1, s.broadcasts)},
		{[]string{bcAll}, broadcast(s.all, 1, s.broadcasts/8)},
		{[]string{bcJoined, bcRate}, broadcast(s.many, 8, 2*s.broadcasts)},
	}
}

func perMessage(w load.Work) float64 {
	return harness.Microseconds(w.CPU) / float64(max(1, w.Messages))
}

// measured has the figures of one server.
type measured struct {
	Name    string               `json:"name"`
	Version string               `json:"version,omitempty"`
	Figures map[string][]float64 `json:"figures"` // of each round
}

// measure runs all tests of all servers in each round.
func measure(ctx context.Context, dir string, list []server, tests []test, rounds int) ([]measured, error) {
	programs, versions, err := build(ctx, dir, list)
	if err != nil {
		return nil, err
	}
	results := make([]measured, len(list))
	for i, s := range list {
		results[i] = measured{Name: s.name, Version: versions[s.name], Figures: map[string][]float64{}}
	}
	for round := range rounds {
		for i, s := range list {
			for _, t := range tests {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				values, err := one(programs[s.pkg], s.args, t)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", s.name, t.figures[0], err)
				}
				for j, figure := range t.figures {
					results[i].Figures[figure] = append(results[i].Figures[figure], values[j])
				}
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, rounds, s.name)
		}
	}
	return results, nil
}

// one runs a test with a new process.
func one(program string, args []string, t test) ([]float64, error) {
	srv, err := harness.StartServer(program, args...)
	if err != nil {
		return nil, err
	}
	values, err := t.run(load.Server{Addr: srv.Addr, CPU: srv.CPU, RSS: srv.RSS})
	if stopped := srv.Stop(); err == nil {
		err = stopped
	}
	return values, err
}

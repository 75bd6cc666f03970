//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/load"
)

// size is that of all messages in bytes.
const size = 128

// test is one measurement and the figures that it gives.
type test struct {
	name    string
	figures []string
	run     func(load.Server) ([]float64, error)
}

// The figures' names.
const (
	idleBytes = "idle_bytes"           // of resident memory for each of many connections
	openCPU   = "open_cpu_us"          // for each connection
	echoFew   = "echo_few_cpu_us"      // for each message
	echoMany  = "echo_many_cpu_us"     //
	bcMany    = "broadcast_cpu_us"     // for each delivery, to many
	bcAll     = "broadcast_all_cpu_us" // to ten times as many
	bcJoined  = "broadcast_joined_cpu_us"
	bcRate    = "broadcast_joined_per_s"
)

// scale is how much is done: connections, and how often.
type scale struct {
	idle, few, many, all int
	settle, warm, echo   time.Duration
	count                int // broadcasts to many
}

var (
	full  = scale{idle: 15000, few: 100, many: 1000, all: 10000, settle: 2 * time.Second, warm: time.Second, echo: 4 * time.Second, count: 400}
	quick = scale{idle: 90, few: 3, many: 10, all: 20, settle: 10 * time.Millisecond, warm: 10 * time.Millisecond, echo: 50 * time.Millisecond, count: 20}
)

func (s scale) tests() []test {
	echo := func(n int) func(load.Server) ([]float64, error) {
		return func(srv load.Server) ([]float64, error) {
			w, err := load.Echo(srv, n, size, s.warm, s.echo)
			return []float64{each(w)}, err
		}
	}
	broadcast := func(n, inFlight, count int) func(load.Server) ([]float64, error) {
		return func(srv load.Server) ([]float64, error) {
			w, err := load.Broadcast(srv, n, size, inFlight, count/10, count)
			return []float64{each(w), float64(w.Messages) / w.Time.Seconds()}, err
		}
	}
	return []test{
		{"idle", []string{idleBytes, openCPU}, func(srv load.Server) ([]float64, error) {
			bytes, opening, err := load.Idle(srv, s.idle, s.settle)
			return []float64{bytes, micros(opening)}, err
		}},
		{"echo", []string{echoFew}, echo(s.few)},
		{"echo to many", []string{echoMany}, echo(s.many)},
		{"broadcast", []string{bcMany}, broadcast(s.many, 1, s.count)},
		{"broadcast to all", []string{bcAll}, broadcast(s.all, 1, s.count/8)},
		{"broadcasts in flight", []string{bcJoined, bcRate}, broadcast(s.many, 8, 2*s.count)},
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func each(w load.Work) float64 { return micros(w.CPU) / float64(max(1, w.Messages)) }

// measured is what there is of one server.
type measured struct {
	Name    string               `json:"name"`
	Version string               `json:"version,omitempty"`
	Limit   bool                 `json:"limit,omitempty"` // no WebSocket server
	Figures map[string][]float64 `json:"figures"`         // of each round
}

// measure has all servers take turns, round after round; each test gets a process of
// its own.
func measure(ctx context.Context, dir string, servers []server, tests []test, rounds int, progress func(string)) ([]measured, error) {
	programs, versions, err := build(ctx, dir, servers)
	if err != nil {
		return nil, err
	}
	all := make([]measured, len(servers))
	for i, s := range servers {
		all[i] = measured{Name: s.name, Version: versions[s.name], Limit: s.limit, Figures: map[string][]float64{}}
	}
	for round := range rounds {
		for i, s := range servers {
			for _, t := range tests {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				values, err := one(programs[s.key], s.args, t)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", s.name, t.name, err)
				}
				for j, figure := range t.figures {
					all[i].Figures[figure] = append(all[i].Figures[figure], values[j])
				}
			}
			progress(fmt.Sprintf("round %d of %d: %s", round+1, rounds, s.name))
		}
	}
	return all, nil
}

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

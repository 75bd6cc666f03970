package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// config is what to measure.
type config struct {
	driver   harness.Driver
	n        int
	runs     int
	rate     int
	duration time.Duration
	sizes    []int
}

// levels are those of compression that are compared; 0 is none.
var levels = []int{0, 1, 6}

// row is what one kind of broadcast costs: medians.
type row struct {
	Size  int     `json:"size"`
	Level int     `json:"level"`
	CPU   float64 `json:"cpu_us"` // of the server, per message and receiver
	Bytes float64 `json:"bytes"`  // on the wire, as often
	P50   float64 `json:"p50_ms"` // from the moment a broadcast was due until it was inflated and checked
	P99   float64 `json:"p99_ms"`
}

func measure(ctx context.Context, cfg config) ([]row, error) {
	dir, err := os.MkdirTemp("", "loadtest")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the folder for temporary files
	program, err := harness.Build(ctx, dir, "loadtest")
	if err != nil {
		return nil, err
	}
	runs := make(map[[2]int][]row)
	for range cfg.runs {
		for _, size := range cfg.sizes {
			for _, level := range levels {
				r, err := measureOne(ctx, cfg, program, size, level)
				if err != nil {
					return nil, fmt.Errorf("%d bytes, %s: %w", size, levelName(level), err)
				}
				runs[[2]int{size, level}] = append(runs[[2]int{size, level}], r)
			}
		}
	}
	var rows []row
	for _, size := range cfg.sizes {
		for _, level := range levels {
			rows = append(rows, medians(runs[[2]int{size, level}]))
		}
	}
	return rows, nil
}

// medians takes that of each figure.
func medians(rows []row) row {
	of := func(figure func(row) float64) float64 {
		var all []float64
		for _, r := range rows {
			all = append(all, figure(r))
		}
		return harness.Median(all)
	}
	return row{
		Size: rows[0].Size, Level: rows[0].Level,
		CPU:   of(func(r row) float64 { return r.CPU }),
		Bytes: of(func(r row) float64 { return r.Bytes }),
		P50:   of(func(r row) float64 { return r.P50 }),
		P99:   of(func(r row) float64 { return r.P99 }),
	}
}

// summary is the part of loadtest's that is of use here.
type summary struct {
	OK       bool
	Messages struct {
		Sent, Received uint64
	}
	Wire struct {
		Compressing uint64
	}
	LatencyNs struct{ P50, P99 time.Duration } `json:"latency_ns"`
}

func measureOne(ctx context.Context, cfg config, program string, size, level int) (r row, err error) {
	child, err := harness.StartChild("-driver", cfg.driver.String(), "-level", fmt.Sprint(level))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, child.Stop()) }()
	var h hello
	if err := child.Read(&h); err != nil {
		return r, err
	}
	file := program + ".json"
	out, err := harness.Command(ctx, program, "-url", "ws://"+h.Addr+"/ws", "-mode", "broadcast", "-payload", "json", "-compress",
		"-quiet", "-json", file, "-timeout", "1m", // on a busy machine answers take their time
		"-connections", fmt.Sprint(cfg.n), "-size", fmt.Sprint(size), "-rate", fmt.Sprint(cfg.rate), "-duration", cfg.duration.String())
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, out) // quiet as it is, it says what is wrong
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	var s summary
	if err := json.Unmarshal(text, &s); err != nil {
		return r, err
	}
	var st status
	if err := harness.Ask(ctx, h.Addr+"/status", &st); err != nil {
		return r, err
	}
	compressed := uint64(0)
	if level != 0 {
		compressed = uint64(cfg.n)
	}
	broadcasts := uint64(st.Broadcasts)
	if broadcasts < 2 || s.Messages.Sent != broadcasts || s.Messages.Received != broadcasts*uint64(cfg.n) || s.Wire.Compressing != compressed {
		return r, fmt.Errorf("client and server don't agree: %+v, %+v", s, st)
	}
	deliveries := float64((st.Broadcasts - 1) * cfg.n)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return row{
		Size: size, Level: level,
		CPU:   float64(st.Last.CPU-st.First.CPU) / deliveries / float64(time.Microsecond),
		Bytes: float64(st.Last.BytesOut-st.First.BytesOut) / deliveries,
		P50:   ms(s.LatencyNs.P50), P99: ms(s.LatencyNs.P99),
	}, nil
}

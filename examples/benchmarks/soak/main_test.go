package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// All of it but the time: what has to be right at any speed. Memory is the program's to
// judge, with the machine to itself.
func TestSoak(t *testing.T) {
	for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(driver.String(), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			cfg := config{
				driver: harness.Driver{Driver: driver}, compress: driver == wsmanager.DriverGoroutine,
				duration: 2 * time.Second, warmUp: 2 * time.Second, round: time.Second,
				connections: 10, rate: 50, broadcasts: 10, faulty: 8,
			}
			res, err := measure(t.Context(), cfg)
			require.NoError(t, err)
			require.Empty(t, res.wrong())
			require.True(t, res.Echo.ok(res.Echo.Sent), res.Echo)
			require.True(t, res.Broadcast.ok(res.Broadcast.Sent*uint64(cfg.connections)), res.Broadcast)
			require.GreaterOrEqual(t, res.Echo.Runs, 2)
			require.Positive(t, res.Faults.Made)
			require.Positive(t, res.Faults.Received)
			require.Positive(t, res.Since)
			require.Zero(t, res.refused())
			require.Zero(t, res.End.Connections)
			require.LessOrEqual(t, res.End.Goroutines, res.Base.Goroutines)
			require.LessOrEqual(t, res.End.Descriptors, res.Base.Descriptors)
			require.Positive(t, res.Base.Heap)
			require.Equal(t, cfg.compress, res.Stats["/echo"].Compressed.Accepted > 0)
			for _, c := range res.checks() {
				require.NotEmpty(t, c.Got, c.What)
				require.NotEmpty(t, c.Bound, c.What)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-faulty", "0"}, &out), "above 0")
	require.ErrorContains(t, run(t.Context(), []string{"-driver", "steam"}, &out), `no driver "steam"`)
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}

// good is a result with which all is well.
func good() *result {
	r := &result{
		Base: usage{10 << 20, 1 << 20, 6, 10, 0}, End: usage{11 << 20, 1<<20 + 1000, 6, 10, 0},
		Ours: usage{Goroutines: 4, Descriptors: 12}, After: usage{Goroutines: 4, Descriptors: 12},
		Echo:      load{Runs: 2, Connections: 20, Sent: 100, Received: 100},
		Broadcast: load{Runs: 1, Connections: 10, Sent: 10, Received: 100},
		Faults:    faults{By: map[string]int{}, Made: 7, Refused: 1, Sent: 20, Received: 10, Heard: 5},
		Since:     30,
		Stats: map[string]wsmanager.Stats{
			"/echo":      {Accepted: 25, Closed: map[wsmanager.StatusCode]uint64{1000: 20, 1006: 5}, MessagesIn: 115, MessagesOut: 112},
			"/broadcast": {Accepted: 12, Closed: map[wsmanager.StatusCode]uint64{1000: 12}, MessagesIn: 10, MessagesOut: 106},
		},
	}
	for _, k := range kinds {
		r.Faults.By[k.name] = 1
	}
	return r
}

// Each thing that can go wrong misses a bound.
func TestChecks(t *testing.T) {
	missed := func(r *result) (list []string) {
		for _, c := range r.checks() {
			if !c.OK {
				list = append(list, c.What)
			}
		}
		return list
	}
	require.Empty(t, missed(good()))
	require.Empty(t, good().wrong())
	of := func(r *result, path string, change func(*wsmanager.Stats)) {
		s := r.Stats[path]
		change(&s)
		r.Stats[path] = s
	}
	for name, spoil := range map[string]func(*result){
		"a goroutine is left":                  func(r *result) { r.End.Goroutines++ },
		"a descriptor is left":                 func(r *result) { r.End.Descriptors++ },
		"each connection leaves its Conn":      func(r *result) { r.End.Heap += 500 * 1000 },
		"resident memory grows":                func(r *result) { r.End.RSS += 4 << 20 },
		"a goroutine of a client's is left":    func(r *result) { r.After.Goroutines++ },
		"a descriptor of a client's is left":   func(r *result) { r.After.Descriptors++ },
		"an echo is lost":                      func(r *result) { r.Echo.Failed = []string{"lost 1"} },
		"a broadcast is lost":                  func(r *result) { r.Broadcast.Failed = []string{"lost 1"} },
		"there was no load":                    func(r *result) { r.Echo = load{} },
		"a fault was not met":                  func(r *result) { delete(r.Faults.By, "stall") },
		"nobody came through":                  func(r *result) { r.Faults.Made = 0 },
		"a visitor got another's bytes":        func(r *result) { r.Faults.Wrong = []string{"echo 3"} },
		"a connection did not end":             func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Accepted++ }) },
		"a connection ended twice":             func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Closed[1006]++ }) },
		"a connection is still there":          func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Connections++ }) },
		"clients had more than were accepted":  func(r *result) { r.Faults.Made += 10 },
		"more came out than went in":           func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.MessagesOut = 116 }) },
		"less came out than was read":          func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.MessagesOut = 109 }) },
		"a broadcast came in twice":            func(r *result) { of(r, "/broadcast", func(s *wsmanager.Stats) { s.MessagesIn++ }) },
		"a broadcast was read that did not go": func(r *result) { of(r, "/broadcast", func(s *wsmanager.Stats) { s.MessagesOut = 104 }) },
		"a good handshake was refused":         func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Refused.Malformed++ }) },
		"the server printed an error":          func(r *result) { r.Printed = []string{"level=ERROR"} },
	} {
		r := good()
		spoil(r)
		require.Len(t, missed(r), 1, name)
	}
	var out bytes.Buffer
	require.NoError(t, harness.Print(&out, true, good(), nil))
	var back result
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, good(), &back)
}

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Everything that does not depend on the load of the machine. Memory does.
func TestSoak(t *testing.T) {
	for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(driver.String(), func(t *testing.T) {
			t.Parallel() // mostly waiting
			cfg := config{
				driver: driver, compress: driver == wsmanager.DriverGoroutine,
				duration: 2 * time.Second, warmUp: 2 * time.Second, round: time.Second,
				connections: 10, rate: 50, broadcasts: 10, faulty: 8,
			}
			res, err := measure(t.Context(), cfg)
			require.NoError(t, err)
			require.Empty(t, res.unbalanced())
			require.Empty(t, res.Faults.Wrong)
			require.Empty(t, res.Printed)
			require.Empty(t, res.Echo.problems(res.Echo.Sent))
			require.Empty(t, res.Broadcast.problems(res.Broadcast.Sent*uint64(cfg.connections)))
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
		})
	}
}

// goodResult returns a result within all bounds.
func goodResult() *result {
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

// Each failure misses exactly one bound.
func TestChecks(t *testing.T) {
	missed := func(r *result) (list []string) {
		for _, c := range r.checks() {
			if !c.OK {
				list = append(list, c.Name)
			}
		}
		return list
	}
	require.Empty(t, missed(goodResult()))
	of := func(r *result, path string, change func(*wsmanager.Stats)) {
		s := r.Stats[path]
		change(&s)
		r.Stats[path] = s
	}
	for name, spoil := range map[string]func(*result){
		"the server leaves a goroutine":             func(r *result) { r.End.Goroutines++ },
		"the server leaves a descriptor":            func(r *result) { r.End.Descriptors++ },
		"each connection leaves its Conn":           func(r *result) { r.End.Heap += 500 * 1000 },
		"resident memory grows":                     func(r *result) { r.End.RSS += 4 << 20 },
		"a client leaves a goroutine":               func(r *result) { r.After.Goroutines++ },
		"a client leaves a descriptor":              func(r *result) { r.After.Descriptors++ },
		"an echo is lost":                           func(r *result) { r.Echo.Failed = []string{"lost 1"} },
		"a broadcast is lost":                       func(r *result) { r.Broadcast.Failed = []string{"lost 1"} },
		"no load":                                   func(r *result) { r.Echo = load{} },
		"a fault was not used":                      func(r *result) { delete(r.Faults.By, "stall") },
		"no client connected":                       func(r *result) { r.Faults.Made = 0 },
		"a client received another one's bytes":     func(r *result) { r.Faults.Wrong = []string{"echo 3"} },
		"a connection did not end":                  func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Accepted++ }) },
		"a connection ended twice":                  func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Closed[1006]++ }) },
		"a connection is open":                      func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Connections++ }) },
		"more connections than were accepted":       func(r *result) { r.Faults.Made += 10 },
		"more echoes than messages":                 func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.MessagesOut = 116 }) },
		"more echoes read than written":             func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.MessagesOut = 109 }) },
		"a broadcast was received twice":            func(r *result) { of(r, "/broadcast", func(s *wsmanager.Stats) { s.MessagesIn++ }) },
		"a broadcast was read that was not written": func(r *result) { of(r, "/broadcast", func(s *wsmanager.Stats) { s.MessagesOut = 104 }) },
		"a valid handshake was refused":             func(r *result) { of(r, "/echo", func(s *wsmanager.Stats) { s.Refused.Malformed++ }) },
		"the server printed an error":               func(r *result) { r.Printed = []string{"level=ERROR"} },
	} {
		r := goodResult()
		spoil(r)
		require.Len(t, missed(r), 1, name)
	}
}

package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func TestMain(m *testing.M) {
	harness.RunChild(child)
	m.Run()
}

// Everything except costs and latencies, which depend on the load of the machine.
func TestBatches(t *testing.T) {
	for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel() // mostly waiting
			cfg := config{driver: d, n: 10, group: 20, total: 200, lone: 3, probes: 20, rounds: 2, repeats: 2}
			res, err := measure(t.Context(), cfg)
			require.NoError(t, err)
			require.Equal(t, d.String(), res.Driver)
			require.Len(t, res.Rounds, cfg.rounds)
			for _, r := range res.Rounds {
				for _, v := range []float64{r.Peer, r.AtOnce, r.Segment, r.Row, r.LongRow, r.Calls, r.OneCaller, r.Lone, r.LoneP50} {
					require.Positive(t, v)
				}
				for _, l := range []harness.Latency{r.Single.Send, r.Single.Join, r.Pairs.Send, r.Pairs.Join} {
					require.Positive(t, l.P50)
					require.GreaterOrEqual(t, l.P99, l.P50)
					require.GreaterOrEqual(t, l.Longest, l.P99)
				}
			}
		})
	}
}

// stream returns its pieces, one for each Read.
type stream struct{ pieces []string }

var errEnd = errors.New("the end")

func (s *stream) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, errEnd
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestReceivers(t *testing.T) {
	head := func(sent, number string) string {
		return strings.Repeat("0", 16-len(sent)) + sent + strings.Repeat("0", 16-len(number)) + number
	}
	frame := func(payload string) string { return "\x81" + string(rune(len(payload))) + payload }
	one, two := frame(head("1", "0")), frame(head("2", "1"))
	for _, tt := range []struct {
		name     string
		pieces   []string
		size     int
		single   bool
		received int64
		err      string
	}{
		{"one after the other", []string{one, two}, headSize, false, 2, "the end"},
		{"together", []string{one + two}, headSize, false, 2, "the end"},
		{"in pieces", []string{one[:1], one[1:7], one[7:] + two[:3], two[3:]}, headSize, false, 2, "the end"},
		{"any size", []string{one + frame("x")}, 0, false, 2, "the end"},
		{"another size", []string{one, frame("x")}, headSize, false, 1, "a message of 1 bytes"},
		{"a close frame", []string{one, "\x88\x00"}, headSize, false, 1, "opcode 0x8"},
		{"single", []string{one, two}, headSize, true, 2, "the end"},
		{"single, unknown number", []string{frame(head("1", "2"))}, headSize, true, 0, "another load"},
		{"too large", []string{"\x81\x7e\xff\xff" + strings.Repeat("x", 9<<10)}, 0, false, 0, "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &receivers{clients: make([]*harness.Client, 1), size: tt.size, reached: make(chan struct{}, 1)}
			arrivals := make([]arrival, 2)
			if tt.single {
				s.arrivals.Store(&arrivals)
			}
			s.goal.Store(tt.received)
			require.ErrorContains(t, s.read(&stream{tt.pieces}), tt.err)
			require.Equal(t, tt.received, s.received.Load())
			require.Equal(t, tt.received > 0, len(s.reached) == 1)
			for i := range arrivals {
				require.Equal(t, tt.single && tt.received > 0, arrivals[i].took.Load() > 0)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{"-broadcasts=99": "at least 100", "-many=0": "above 0"} {
		require.ErrorContains(t, harness.Run(t.Context(), "batches", setup, []string{args}, io.Discard), want)
	}
}

func TestChecks(t *testing.T) {
	cfg := config{n: 1000, group: 3000, total: 2000}
	beside := func(send, join time.Duration) probes { // in microseconds
		return probes{Send: harness.Latency{P99: send * time.Microsecond}, Join: harness.Latency{P99: join * time.Microsecond}}
	}
	good := result{Rounds: []round{
		{Peer: 1, AtOnce: 1, Single: beside(100, 10), Pairs: beside(100, 100)},
		{Peer: 2, AtOnce: 3, Single: beside(300, 10), Pairs: beside(600, 100)},
		{Peer: 1, AtOnce: 9, Single: beside(300, 10), Pairs: beside(900, 9000)},
	}}
	for _, c := range good.checks(cfg) {
		require.True(t, c.OK, c.Name)
	}
	require.Equal(t, harness.Check{Name: "2000 by 100 goroutines at once", Value: "3.00 (1.00 to 9.00) µs: 1.50x", Bound: "<= 1.5x one peer's", OK: true},
		good.checks(cfg)[1], "the ratio is the median of the rounds' ratios")
	bad := result{Rounds: []round{{Peer: 1, AtOnce: 1.51, Single: beside(200, 10), Pairs: beside(401, 101)}}}
	missed := 0
	for _, c := range bad.checks(cfg) {
		if !c.OK {
			missed++
		}
	}
	require.Equal(t, 3, missed)
}

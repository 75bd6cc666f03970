package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func TestMain(m *testing.M) {
	harness.RunChild(child)
	m.Run()
}

// All but cost and latency, which are the program's to judge, with the machine to itself.
func TestBatches(t *testing.T) {
	for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			cfg := config{driver: harness.Driver{Driver: d}, n: 10, many: 20, total: 200, lone: 3, probes: 20, rounds: 2, repeats: 2}
			res, err := measure(t.Context(), cfg)
			require.NoError(t, err)
			require.Equal(t, d.String(), res.Driver)
			require.Len(t, res.Rounds, cfg.rounds)
			for _, r := range res.Rounds {
				for _, v := range []float64{r.Peer, r.AtOnce, r.Segment, r.Row, r.LongRow, r.Calls, r.OneCaller, r.Lone, r.LoneP50} {
					require.Positive(t, v)
				}
				for _, l := range []latency{r.Single.Send, r.Single.Join, r.Pairs.Send, r.Pairs.Join} {
					require.Positive(t, l.P50)
					require.GreaterOrEqual(t, l.P99, l.P50)
					require.GreaterOrEqual(t, l.Longest, l.P99)
				}
			}
		})
	}
}

// stream is what the server sends, in pieces.
type stream struct{ pieces []string }

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

var errEnd = errors.New("the end")

// What a receiver has counted, and what it finds wrong.
func TestReceivers(t *testing.T) {
	head := func(sent, number string) string {
		return strings.Repeat("0", 16-len(sent)) + sent + strings.Repeat("0", 16-len(number)) + number
	}
	frame := func(payload string) string { return "\x81" + string(rune(len(payload))) + payload }
	one, two := frame(head("1", "0")), frame(head("2", "1"))
	for _, tt := range []struct {
		name   string
		pieces []string
		size   int
		lone   bool
		got    int64
		err    string
	}{
		{"one after the other", []string{one, two}, headSize, false, 2, "the end"},
		{"together", []string{one + two}, headSize, false, 2, "the end"},
		{"in pieces", []string{one[:1], one[1:7], one[7:] + two[:3], two[3:]}, headSize, false, 2, "the end"},
		{"any size", []string{one + frame("x")}, 0, false, 2, "the end"},
		{"another size", []string{one, frame("x")}, headSize, false, 1, "a message of 1 bytes"},
		{"a close frame", []string{one, "\x88\x00"}, headSize, false, 1, "opcode 0x8"},
		{"alone", []string{one, two}, headSize, true, 2, "the end"},
		{"alone, another number", []string{frame(head("1", "2"))}, headSize, true, 0, "no message of this load"},
		{"too big", []string{"\x81\x7e\xff\xff" + strings.Repeat("x", 9<<10)}, 0, false, 0, "too big"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &set{clients: make([]*harness.Client, 1), size: tt.size, reached: make(chan struct{}, 1)}
			arrivals := make([]arrival, 2)
			if tt.lone {
				s.lone.Store(&arrivals)
			}
			s.goal.Store(tt.got)
			require.ErrorContains(t, s.read(&stream{tt.pieces}), tt.err)
			require.Equal(t, tt.got, s.got.Load())
			require.Equal(t, tt.got > 0, len(s.reached) == 1)
			for i := range arrivals {
				require.Equal(t, tt.lone && tt.got > 0, arrivals[i].took.Load() > 0)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-n", "0"}, &out), "above 0")
	require.ErrorContains(t, run(t.Context(), []string{"-broadcasts", "99"}, &out), "at least 100")
	require.ErrorContains(t, run(t.Context(), []string{"-driver", "turbo"}, &out), `no driver "turbo"`)
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}

func TestChecks(t *testing.T) {
	cfg := config{n: 1000, many: 3000, total: 2000}
	beside := func(send, join float64) probes { return probes{Send: latency{P99: send}, Join: latency{P99: join}} }
	good := result{Driver: "eventloop", Rounds: []round{
		{Peer: 1, AtOnce: 1, Single: beside(100, 10), Pairs: beside(100, 100)},
		{Peer: 2, AtOnce: 3, Single: beside(300, 10), Pairs: beside(600, 100)},
		{Peer: 1, AtOnce: 9, Single: beside(300, 10), Pairs: beside(900, 9000)},
	}}
	for _, c := range good.checks(cfg) {
		require.True(t, c.OK, c.What)
		require.NotEmpty(t, c.Got, c.What)
	}
	require.Equal(t, harness.Check{What: "2000 by 100 goroutines at once", Got: "3.00 (1.00 to 9.00) µs: 1.50x", Bound: "<= 1.5x the peer's", OK: true},
		good.checks(cfg)[1], "the ratio is the median of the rounds' ratios")
	bad := result{Rounds: []round{{Peer: 1, AtOnce: 1.51, Single: beside(200, 10), Pairs: beside(401, 101)}}}
	var out bytes.Buffer
	require.ErrorContains(t, harness.Print(&out, false, nil, bad.checks(cfg)), "3 of 11 bounds missed")
	out.Reset()
	require.NoError(t, harness.Print(&out, true, good, nil))
	var back result
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, good, back)
}

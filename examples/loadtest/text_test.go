package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

var update = flag.Bool("update", false, "write the output to testdata")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got, "go test -update ./examples/loadtest updates it")
}

func goodReport() *report {
	return &report{
		Settings: setting{
			URL: "wss://example.com/echo", Mode: modeEcho, Connections: 5000, Senders: 5000, InFlight: 1, Size: 128,
			Payload: kindRandom, DurationNs: int64(10 * time.Second),
		},
		Connections: connectionReport{
			Made: 5000, Seconds: 1.2345,
			ConnectNs: &quantiles{1100 * time.Microsecond, 3 * time.Millisecond, 9999 * time.Microsecond, 12 * time.Millisecond, 13_400 * time.Microsecond},
			Closed:    map[wsmanager.StatusCode]uint64{},
		},
		Messages:  messageReport{Sent: 1_234_567, Received: 1_234_567, Seconds: 10.02, SentPerSecond: 123_210.28, ReceivedPerSecond: 123_210.28},
		Wire:      wireReport{BytesOut: 167_901_112, BytesIn: 162_962_844},
		LatencyNs: &quantiles{850 * time.Microsecond, 1500 * time.Microsecond, 4 * time.Millisecond, 999_900 * time.Microsecond, 2 * time.Second},
		Histogram: []bucketRow{
			{500 * time.Microsecond, 12}, {700 * time.Microsecond, 400_000}, {time.Millisecond, 800_000}, {1500 * time.Microsecond, 0}, {2 * time.Millisecond, 34_555},
		},
		Errors: []kindCount{}, Busy: 0.87, Processors: 2,
	}
}

func badReport() *report {
	r := goodReport()
	r.Interrupted = true
	r.Settings.Mode, r.Settings.Senders, r.Settings.Rate, r.Settings.Compress = modeBroadcast, 1, 1000, true
	r.Connections.Made = 4990
	r.Connections.Closed[1013] = 3
	r.Messages.Unsent, r.Messages.CutOff, r.Messages.StillComing = 17, 1200, true
	r.Wire.Compressing, r.Wire.CompressedOut, r.Wire.CompressedIn = 4990, 1_234_567, 1_234_000
	r.LatenessNs = &quantiles{P50: 60 * time.Microsecond, P99: time.Millisecond, Max: 2 * time.Millisecond}
	r.Violations = violations{Lost: 1, Duplicated: 2, Reordered: 3, Corrupted: 4, Foreign: 5000}
	r.Errors = []kindCount{{"handshake refused with 503 Service Unavailable", 10}, {`closed by the server with 1013 ("slow")`, 3}}
	return r
}

func emptyReport() *report {
	return &report{Interrupted: true, Settings: goodReport().Settings, Connections: connectionReport{Made: 1}, Errors: []kindCount{}}
}

func TestText(t *testing.T) {
	for name, r := range map[string]*report{"good": goodReport(), "bad": badReport(), "empty": emptyReport()} {
		t.Run(name, func(t *testing.T) {
			r.judge()
			require.Equal(t, name != "bad", r.OK)
			var b strings.Builder
			require.NoError(t, r.text(&b))
			for line := range strings.Lines(b.String()) {
				require.Equal(t, strings.TrimRight(line, " \n")+"\n", line, "no trailing blanks")
			}
			golden(t, name+".txt", b.String())
		})
	}
}

// The JSON has stable names and no null in place of a list.
func TestJSON(t *testing.T) {
	r := badReport()
	r.judge()
	var b strings.Builder
	require.NoError(t, r.write(&config{json: "-"}, &b, nil))
	golden(t, "bad.json", b.String())
	var back report
	require.NoError(t, json.Unmarshal([]byte(b.String()), &back))
	require.Equal(t, *r, back)
}

func TestQuiet(t *testing.T) {
	for _, r := range []*report{goodReport(), badReport()} {
		r.judge()
		var b strings.Builder
		require.NoError(t, r.write(&config{quiet: true}, &b, nil))
		require.Equal(t, r.OK, b.Len() == 0)
	}
}

// Each problem alone fails the run.
func TestJudge(t *testing.T) {
	for name, spoil := range map[string]func(*report){
		"lost":       func(r *report) { r.Violations.Lost = 1 },
		"duplicated": func(r *report) { r.Violations.Duplicated = 1 },
		"reordered":  func(r *report) { r.Violations.Reordered = 1 },
		"corrupted":  func(r *report) { r.Violations.Corrupted = 1 },
		"foreign":    func(r *report) { r.Violations.Foreign = 1 },
		"unsent":     func(r *report) { r.Messages.Unsent = 1 },
		"cut off":    func(r *report) { r.Messages.CutOff = 1 },
		"errors":     func(r *report) { r.Errors = []kindCount{{"x", 1}} },
		"failure":    func(r *report) { r.Failure = "x" },
	} {
		r := goodReport()
		r.judge()
		require.True(t, r.OK)
		spoil(r)
		r.judge()
		require.False(t, r.OK, name)
	}
}

func TestFormats(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ns", 999: "999 ns", 1000: "1 µs", 1234: "1.23 µs", 12_345: "12.3 µs", 123_456: "123 µs", 999_400: "999 µs", 999_600: "1 ms",
		1_500_000: "1.5 ms", 10 * time.Second: "10 s", 99_960 * time.Millisecond: "100 s", time.Hour: "3,600 s", 9_996 * time.Microsecond: "10 ms",
	} {
		require.Equal(t, want, short(d), int64(d))
	}
	for n, want := range map[uint64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1500: "1.5 kB", 12_000_000: "12 MB", 3e9: "3 GB"} {
		require.Equal(t, want, size(n))
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, number(n))
	}
	for part, want := range map[float64]string{0: "", 0.00001: "▏", 0.5: "█████", 0.56: "█████▋", 1: "██████████"} {
		require.Equal(t, want, bar(part, 10))
	}
}

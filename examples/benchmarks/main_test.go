package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/report"
)

// The page, the charts and the README's numbers are what the results make, and nothing
// else.
func TestPageIsOfTheResults(t *testing.T) {
	require.NoError(t, run(t.Context(), []string{"-check"}, io.Discard))
}

func TestEveryMeasurementIsStored(t *testing.T) {
	stored, err := filepath.Glob(filepath.Join("results", "*.json"))
	require.NoError(t, err)
	var got []string
	for _, file := range stored {
		got = append(got, filepath.Base(file))
	}
	var want []string
	for _, name := range names() {
		want = append(want, name+".json")
	}
	require.ElementsMatch(t, want, got)
}

func TestWriteTellsWhatChanged(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "docs", "images"), 0o755))
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "README.md"), readme, 0o600))
	var out bytes.Buffer
	require.NoError(t, write(root, "results", &out))
	require.Contains(t, out.String(), "wrote docs/benchmarks.md\n")
	require.Contains(t, out.String(), "wrote docs/images/benchmark-cpu.svg\n")
	require.NotContains(t, out.String(), "README.md", "it is up to date")
	require.NoError(t, checked(root, "results"))
	out.Reset()
	require.NoError(t, write(root, "results", &out))
	require.Empty(t, out.String())

	require.NoError(t, os.WriteFile(filepath.Join(root, "docs", "benchmarks.md"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "README.md"), bytes.ReplaceAll(readme, []byte(" ×"), []byte("x")), 0o600))
	require.ErrorContains(t, checked(root, "results"), "not as measured: README.md, docs/benchmarks.md;")
}

func TestFlags(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), []string{"-only", "drain,nothing"}, io.Discard), `nothing is called "nothing"`)
	require.Error(t, run(t.Context(), []string{"-frobnicate"}, io.Discard))
}

func TestParse(t *testing.T) {
	got, err := parse("x", []byte(`goos: linux
pkg: example
BenchmarkMap/match_three_nested-2   	 1000	  413.5 ns/op	 1536 B/op	 3 allocs/op
BenchmarkMap/match_three_nested-2   	 1000	  415.0 ns/op	 1536 B/op	 3 allocs/op
BenchmarkCalls/json/hub/window=100-2	   50	   11.6 cpu-µs/call	 87600 calls/s
PASS
`))
	require.NoError(t, err)
	var all map[string]report.Benchmark
	require.NoError(t, json.Unmarshal(got, &all))
	require.Equal(t, map[string]report.Benchmark{
		"Map/match_three_nested":    {"ns/op": {413.5, 415}, "B/op": {1536, 1536}, "allocs/op": {3, 3}},
		"Calls/json/hub/window=100": {"cpu-µs/call": {11.6}, "calls/s": {87600}},
	}, all)
	_, err = parse("x", []byte("PASS\n"))
	require.ErrorContains(t, err, "no benchmark")
}

func TestThisMachine(t *testing.T) {
	m, err := thisMachine(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, m.CPU)
	require.Positive(t, m.CPUs)
	require.Regexp(t, `^go\d`, m.Go)
	require.Regexp(t, `^\d{4}-\d\d-\d\d$`, m.Date)
}

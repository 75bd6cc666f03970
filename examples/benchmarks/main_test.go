package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// The tables of the pages are those of the stored figures.
func TestTablesMatchTheResults(t *testing.T) {
	require.NoError(t, run(t.Context(), []string{"-check"}, io.Discard))
}

func TestEachMeasurementIsStored(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("results", "*.json"))
	require.NoError(t, err)
	var got, want []string
	for _, file := range files {
		got = append(got, filepath.Base(file))
	}
	for _, m := range measurements {
		want = append(want, m.name+".json")
	}
	require.ElementsMatch(t, want, got)
}

func TestWriteTables(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"docs", "examples/benchmarks"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.FromSlash(dir)), 0o755))
	}
	require.NoError(t, os.CopyFS(filepath.Join(root, "examples", "benchmarks", "results"), os.DirFS("results")))
	page := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), []byte(text), 0o600))
	}
	page("README.md", "before\n<!-- table: peers idle_bytes -->\nold\n<!-- end of table -->\nafter\n")
	page("docs/benchmarks.md", "")
	page("docs/reliability.md", "")
	require.ErrorContains(t, writeTables(root, true, io.Discard), "README.md differs")
	var out bytes.Buffer
	require.NoError(t, writeTables(root, false, &out))
	require.Equal(t, "wrote README.md\n", out.String())
	require.NoError(t, writeTables(root, true, io.Discard))
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	require.Regexp(t, `^before\n<!-- table: peers idle_bytes -->\n\|  \| idle socket, bytes \|\n(?s:.*)<!-- end of table -->\nafter\n$`, string(text))
	page("README.md", "<!-- table: nothing -->\n<!-- end of table -->\n")
	require.ErrorContains(t, writeTables(root, false, io.Discard), "README.md, table nothing")
}

func TestTables(t *testing.T) {
	servers := []server{{"ours", "", map[string][]float64{"idle_bytes": {10, 20, 30}}}, {"gws", "v1.8.9", map[string][]float64{"idle_bytes": {15, 31, 45}}}}
	ratios, err := peers(servers, []string{"idle_bytes"}, true)
	require.NoError(t, err)
	require.Equal(t, "|  | idle socket |\n| --- | --- |\n| ours | 1.00 × |\n| gws 1.8.9 | 1.50 × |\n", ratios, "the median of the rounds' ratios")
	medians, err := peers(servers, []string{"idle_bytes"}, false)
	require.NoError(t, err)
	require.Contains(t, medians, "| gws 1.8.9 | 31 |\n")
	servers[0].Figures["idle_bytes"][1] = 0
	_, err = peers(servers, []string{"idle_bytes"}, true)
	require.ErrorContains(t, err, "no usable figures")

	require.Contains(t, checks([]harness.Check{{Name: "a|b", Value: "3", Bound: "<= 2"}}), "| a\\|b | 3 **missed** | <= 2 |\n")
	for want, v := range map[string]float64{"0": 0, "5": 5, "0.41": 0.4109, "5.28": 5.281, "50.5": 50.49, "931": 931.4, "8,903": 8902.6, "1,234,567": 1234567} {
		require.Equal(t, want, number(v))
	}
}

func TestFlags(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), []string{"-only", "drain,nothing"}, io.Discard), "unknown")
	require.Error(t, run(t.Context(), []string{"-frobnicate"}, io.Discard))
}

func TestParseBenchmarks(t *testing.T) {
	got, err := parseBenchmarks([]byte(`goos: linux
BenchmarkMap/match-three-2   	 1000	  413.5 ns/op	 1536 B/op
BenchmarkMap/match-three-2   	 1000	  415.0 ns/op	 1536 B/op
BenchmarkCalls/json/hub/window=100-2	   50	   11.6 cpu-µs/call
PASS
`))
	require.NoError(t, err)
	require.JSONEq(t, `{"Map/match-three": {"ns/op": [413.5, 415], "B/op": [1536, 1536]}, "Calls/json/hub/window=100": {"cpu-µs/call": [11.6]}}`, string(got))
	_, err = parseBenchmarks([]byte("PASS\n"))
	require.ErrorContains(t, err, "no benchmark")
}

func TestThisMachine(t *testing.T) {
	m, err := thisMachine(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^\d+ CPUs .* go\d.*, \d{4}-\d\d-\d\d$`, m.String())
}

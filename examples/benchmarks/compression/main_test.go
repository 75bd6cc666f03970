package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func TestMain(m *testing.M) {
	harness.RunChild(child)
	m.Run()
}

// All but processor time, with a few sockets.
func TestCompression(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-n", "20", "-runs", "1", "-rate", "100", "-duration", "200ms", "-sizes", "4096", "-json"}, &out))
	var rows []row
	require.NoError(t, json.Unmarshal(out.Bytes(), &rows))
	require.Len(t, rows, 3)
	require.InEpsilon(t, 4096+4, rows[0].Bytes, 0.02, "a header of four bytes; what is on its way at either end is counted on one side only")
	require.Less(t, rows[1].Bytes, 0.6*rows[0].Bytes)
	require.Less(t, rows[2].Bytes, rows[1].Bytes)
	out.Reset()
	require.NoError(t, table(&out, rows))
	require.Contains(t, out.String(), "level 6")
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-n", "0"}, &out), "above 0")
	require.ErrorContains(t, run(t.Context(), []string{"-sizes", "1024,100"}, &out), `-sizes has "100"`)
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}

func TestMedians(t *testing.T) {
	require.Equal(t, row{1, 6, 2, 20, 200, 2000}, medians([]row{{1, 6, 1, 30, 200, 1000}, {1, 6, 3, 10, 100, 3000}, {1, 6, 2, 20, 300, 2000}}))
}

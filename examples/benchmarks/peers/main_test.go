//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// Each server passes each test, and each test has its figures.
func TestPeers(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, harness.Run(t.Context(), "peers", setup, []string{"-quick", "-rounds", "1", "-json"}, &out))
	var report struct {
		Result []measured
		Checks []harness.Check
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &report))
	require.Len(t, report.Result, len(all))
	require.Len(t, report.Checks, len(all))
	for i, s := range all {
		m := report.Result[i]
		require.Equal(t, s.name, m.Name)
		require.Equal(t, s.library != "", m.Version != "", s.name)
		for _, test := range quick.tests() {
			for _, figure := range test.figures {
				require.Len(t, m.Figures[figure], 1, "%s, %s", s.name, figure)
				require.Contains(t, report.Checks[i].Value, figure)
			}
		}
		require.Positive(t, m.Figures[bcRate][0], s.name)
		require.NotZero(t, m.Figures[idleBytes][0], s.name)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-only", "no such server"}, {"-frobnicate"}} {
		require.Error(t, harness.Run(t.Context(), "peers", setup, args, io.Discard), args)
	}
	var names []string
	for _, s := range chosen([]string{"gws", "gorilla"}) {
		names = append(names, s.name)
	}
	require.Equal(t, []string{"gws", "gorilla"}, names)
}

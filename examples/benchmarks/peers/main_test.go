//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every server passes every test, and every test has its figures.
func TestPeers(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-quick", "-rounds", "1", "-json"}, &out))
	var all []measured
	require.NoError(t, json.Unmarshal(out.Bytes(), &all))
	require.Len(t, all, len(servers))
	for i, s := range servers {
		require.Equal(t, s.name, all[i].Name)
		require.Equal(t, s.library != "", all[i].Version != "", s.name)
		for _, test := range quick.tests() {
			for _, figure := range test.figures {
				require.Len(t, all[i].Figures[figure], 1, "%s, %s", s.name, figure)
			}
		}
		require.Positive(t, all[i].Figures[bcRate][0], s.name)
		require.NotZero(t, all[i].Figures[idleBytes][0], s.name)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, printTable(&out, quick.tests(), []measured{{Name: "x", Version: "v1.2.3", Figures: map[string][]float64{
		idleBytes: {3, 1, 2}, openCPU: {50}, echoFew: {5.25}, echoMany: {6}, bcMany: {7}, bcAll: {8}, bcJoined: {0.5}, bcRate: {1e6},
	}}}))
	require.Regexp(t, `idle_bytes  .* server\n +2 +50 +5.25 +6 +7 +8 +0.5 +1e\+06 +x v1.2.3`, out.String())
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-only", "no such server"}, {"-frobnicate"}} {
		require.Error(t, run(t.Context(), args, io.Discard), args)
	}
	var names []string
	for _, s := range chosen([]string{"gws", "plain TCP"}) {
		names = append(names, s.name)
	}
	require.Equal(t, []string{"gws", "plain TCP, goroutines", "plain TCP, epoll"}, names)
}

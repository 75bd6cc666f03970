package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressLines(t *testing.T) {
	l, err := newLoad(&config{url: "ws://a/", connections: 4, size: 128, payload: kindRandom, duration: 10 * time.Second, inFlight: 1, timeout: time.Second})
	require.NoError(t, err)
	l.errors.add("x")
	var p progress
	require.Equal(t, "▕                ▏  connecting   0 of 4   1 problem", p.line(l, 0))

	synctest.Test(t, func(t *testing.T) {
		l.members = []*member{{}, {}}
		l.began = time.Now()
		l.phase.Store(phaseSending)
		l.foreign.Add(1)
		time.Sleep(5 * time.Second)
		l.members[0].received.Store(1000)
		l.members[1].received.Store(2000)
		l.latency[3].add(2 * time.Millisecond)
		require.Equal(t, "▕████████        ▏  5 of 10 s   3,000 received, 600 a second   p50 2 ms   p99 2 ms   max 2 ms   2 problems", p.line(l, 5*time.Second))
		l.members[1].received.Store(2500)
		require.Contains(t, p.line(l, 5500*time.Millisecond), "3,500 received, 1,000 a second", "since the last line")
		l.phase.Store(phaseWaiting)
		require.Contains(t, p.line(l, 10*time.Second), "▕████████████████▏  waiting for messages in flight   3,500 received")
		l.phase.Store(phaseClosing)
		require.Contains(t, p.line(l, 10*time.Second), "closing   0 connections left")
	})
}

// The line is rewritten in place, is not wider than the terminal, and is removed at the end.
func TestProgressIsRewritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{cfg: &config{connections: 4, url: "ws://a/", inFlight: 1, size: 128, payload: kindRandom, duration: time.Second, timeout: time.Second}}
		made, err := newLoad(l.cfg)
		require.NoError(t, err)
		l.dialer = made.dialer
		var out bytes.Buffer
		end := l.rewrite(&out, func() int { return 30 })
		time.Sleep(progressEvery*2 + 1)
		end()
		line := "\r\x1b[K▕                ▏  connectin"
		require.Equal(t, line+line+"\r\x1b[K", out.String())
	})
}

func TestTruncate(t *testing.T) {
	require.Equal(t, "▕█", truncate("▕█▏", 2))
	require.Equal(t, "▕█▏", truncate("▕█▏", 3))
	require.Empty(t, truncate("abc", 0))
}

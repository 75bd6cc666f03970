package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/hubtest"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		limit            int
	}{
		{"as it is", "Ann", "Ann", 10},
		{"spaces", "  Ann \t", "Ann", 10},
		{"lines", "a\nb\r\nc", "a b  c", 10},
		{"nothing", " \x00\x1e\x7f ", "", 10},
		{"runes, not bytes", "éééé", "éé", 2},
		{"no space at the cut", "ab cd", "ab", 3},
		{"invalid UTF-8", "a\xffb", "a b", 10},
		{"markup is text", "<b>", "<b>", 10},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, clean(tt.text, tt.limit)) })
	}
}

func TestOldInkGoesFirst(t *testing.T) {
	b := newBoard()
	const each = 2 * maxPoints
	for i := range maxInk/maxPoints + 10 {
		b.add(stroke{Width: i, Points: make([]int, each)})
	}
	require.LessOrEqual(t, b.ink, maxInk)
	require.Greater(t, b.ink, maxInk-maxPoints)
	require.Len(t, b.strokes, b.ink/maxPoints)
	require.Equal(t, maxInk/maxPoints+9, b.strokes[len(b.strokes)-1].Width)
}

// What each person may do, and the events that the others get.
func TestBoardRules(t *testing.T) {
	b := newBoard()
	h := testHub(t, b.methods(), options(slog.New(slog.DiscardHandler), b))
	ann, bob := hubtest.Connect(t, h, hubtest.Options{}), hubtest.Connect(t, h, hubtest.Options{})
	line := stroke{Points: []int{1, 2}}
	for method, args := range map[string][]any{"Draw": {line}, "Wipe": nil, "Say": {"hi"}, "Typing": {true}} {
		require.Equal(t, "Enter first.", ann.CallFails(method, args...))
	}
	require.Equal(t, "A name is needed.", ann.CallFails("Enter", " \n "))
	found := hubtest.Invoke[scene](ann, "Enter", strings.Repeat("x", 100))
	require.Equal(t, strings.Repeat("x", maxName), found.You.Name)
	require.Equal(t, "You are here already.", ann.CallFails("Enter", "Ann"))
	found = hubtest.Invoke[scene](bob, "Enter", "Bob")
	require.Len(t, found.People, 2)
	ann.Expect("entered", person{bob.ID(), "Bob"})
	for want, bad := range map[string]stroke{
		"There is no such colour.":     {Colour: colours, Points: []int{1, 2}},
		"There is no such width.":      {Width: -1, Points: []int{1, 2}},
		"A stroke has 1 to 64 points.": {Points: make([]int, 2*maxPoints+2)},
		"A point is beside the board.": {Points: []int{0, coordinate + 1}},
	} {
		require.Equal(t, want, bob.CallFails("Draw", bad))
	}
	bob.Call("Draw", line)
	bob.Call("Typing", true)
	bob.Call("Say", " hi ")
	bob.Call("Wipe")
	id := bob.ID()
	said := remark{id, "Bob", "hi"}
	for _, c := range []*hubtest.Client{ann, bob} {
		c.Expect("drawn", id, line)
		if c == ann {
			c.Expect("typing", id, true)
		}
		c.Expect("said", said)
		c.Expect("wiped", "Bob")
		c.ExpectNone()
	}
	bob.Close()
	ann.Expect("left", id)
}

// A person whose network breaks for ten seconds is still at the board and misses nothing.
func TestPersonComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		h := testHub(t, b.methods(), options(slog.New(slog.DiscardHandler), b))
		patient := hubtest.Options{Stateful: true, Patience: time.Hour}
		ann, bob := hubtest.Connect(t, h, patient), hubtest.Connect(t, h, patient)
		ann.Call("Enter", "Ann")
		bob.Call("Enter", "Bob")
		ann.Expect("entered", person{bob.ID(), "Bob"})
		bob.Cut()
		ann.Call("Typing", true)
		ann.Call("Say", "Are you there?")
		time.Sleep(10 * time.Second)
		bob.Resume()
		bob.Expect("typing", ann.ID(), true)
		said := remark{ann.ID(), "Ann", "Are you there?"}
		bob.Expect("said", said)
		ann.Expect("said", said)
		ann.ExpectNone()

		id := bob.ID()
		bob.Cut()
		time.Sleep(20 * time.Second)
		ann.Expect("left", id)
		require.Error(t, bob.WaitClosed())
	})
}

// testHub makes a hub and shuts it down at the end of the test.
func testHub(t *testing.T, methods hub.Methods, opts hub.Options) *hub.Hub {
	t.Helper()
	h, err := hub.New(methods, opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
		defer cancel()
		require.NoError(t, h.Shutdown(ctx))
	})
	return h
}

package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
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

// Who may do what, and what the others hear.
func TestBoardRules(t *testing.T) {
	b := newBoard()
	h, err := hub.New(b.methods(), options(slog.New(slog.DiscardHandler), b))
	require.NoError(t, err)
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
		defer cancel()
		require.NoError(t, h.Shutdown(ctx))
		srv.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
	defer cancel()
	left := make(chan string, 1)
	dial := func() *hub.Connection {
		c, err := hub.Dial(ctx, srv.URL, hub.DialOptions{Logger: slog.New(slog.DiscardHandler), Handlers: hub.Methods{
			"entered": func(person) {},
			"left":    func(id string) { left <- id },
		}})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	refused := func(c *hub.Connection, text, method string, args ...any) {
		t.Helper()
		var remote *hub.RemoteError
		require.ErrorAs(t, c.Call(ctx, method, args...), &remote)
		require.Equal(t, text, remote.Text)
	}
	ann, bob := dial(), dial()
	line := stroke{Points: []int{1, 2}}
	for method, args := range map[string][]any{"Draw": {line}, "Wipe": nil, "Say": {"hi"}, "Typing": {true}} {
		refused(ann, "Enter first.", method, args...)
	}
	refused(ann, "A name is needed.", "Enter", " \n ")
	found, err := hub.Invoke[scene](ctx, ann, "Enter", strings.Repeat("x", 100))
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("x", maxName), found.You.Name)
	refused(ann, "You are here already.", "Enter", "Ann")
	require.NoError(t, bob.Call(ctx, "Enter", "Bob"))
	for want, bad := range map[string]stroke{
		"There is no such colour.":     {Colour: colours, Points: []int{1, 2}},
		"There is no such width.":      {Width: -1, Points: []int{1, 2}},
		"A stroke has 1 to 64 points.": {Points: make([]int, 2*maxPoints+2)},
		"A point is beside the board.": {Points: []int{0, coordinate + 1}},
	} {
		refused(bob, want, "Draw", bad)
	}
	id := bob.ID()
	bob.Close()
	select {
	case got := <-left:
		require.Equal(t, id, got)
	case <-ctx.Done():
		t.Fatal("no event about a person who left")
	}
}

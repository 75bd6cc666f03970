package logattrs_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/logattrs"
)

// text returns the attributes as a record of a TextHandler.
func text(t *testing.T, attrs []slog.Attr) string {
	t.Helper()
	var b bytes.Buffer
	record := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
	record.AddAttrs(attrs...)
	require.NoError(t, slog.NewTextHandler(&b, nil).Handle(context.Background(), record))
	return b.String()
}

func TestMerge(t *testing.T) {
	a := slog.String
	group := logattrs.Group
	for name, tt := range map[string]struct {
		attrs, more []slog.Attr
		want        string
	}{
		"nothing":              {[]slog.Attr{a("a", "1")}, nil, "a=1"},
		"to nothing":           {nil, []slog.Attr{a("a", "1")}, "a=1"},
		"others":               {[]slog.Attr{a("a", "1")}, []slog.Attr{a("b", "2")}, "a=1 b=2"},
		"the same name":        {[]slog.Attr{a("a", "1")}, []slog.Attr{a("a", "2")}, "a=1"},
		"a name twice":         {nil, []slog.Attr{a("a", "1"), a("a", "2")}, "a=1"},
		"groups":               {[]slog.Attr{group("r", a("x", "1")), a("z", "0")}, []slog.Attr{group("r", a("y", "2"), a("x", "3"))}, "r.x=1 r.y=2 z=0"},
		"groups in groups":     {[]slog.Attr{group("r", group("s", a("x", "1")))}, []slog.Attr{group("r", group("s", a("y", "2")), a("z", "3"))}, "r.s.x=1 r.s.y=2 r.z=3"},
		"a group twice":        {nil, []slog.Attr{group("r", a("x", "1")), group("r", a("y", "2"))}, "r.x=1 r.y=2"},
		"a group and a string": {[]slog.Attr{group("r", a("x", "1"))}, []slog.Attr{a("r", "2")}, "r.x=1"},
		"a string and a group": {[]slog.Attr{a("r", "2")}, []slog.Attr{group("r", a("x", "1"))}, "r=2"},
		"a group without name": {[]slog.Attr{a("x", "1")}, []slog.Attr{group("", a("x", "2"), a("y", "3"))}, "x=1 y=3"},
		"an empty group":       {[]slog.Attr{group("r")}, []slog.Attr{group("r", a("x", "1"))}, "r.x=1"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "level=INFO msg=\"\" "+tt.want+"\n", text(t, logattrs.Merge(tt.attrs, tt.more)))
		})
	}
}

// The attributes of an application are kept for many records: no merge changes them.
func TestMergeLeavesGroupsUnchanged(t *testing.T) {
	inner := make([]slog.Attr, 1, 4)
	inner[0] = slog.String("x", "1")
	nested := []slog.Attr{logattrs.Group("s", inner...)}
	more := []slog.Attr{{Key: "r", Value: slog.GroupValue(nested...)}}
	before := text(t, more)
	for range 2 {
		got := logattrs.Merge([]slog.Attr{logattrs.Group("r", slog.String("y", "2"))}, more)
		got = logattrs.Merge(got, []slog.Attr{logattrs.Group("r", logattrs.Group("s", slog.String("z", "3")))})
		require.Equal(t, "level=INFO msg=\"\" r.y=2 r.s.x=1 r.s.z=3\n", text(t, got))
		require.Equal(t, before, text(t, more))
		require.Equal(t, slog.Attr{}, inner[:2][1])
	}
}

package hub_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/hubtest"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

var _ hub.Subscriber = (*hub.Connection)(nil)

type remark struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Typed events and client methods, from each kind of sender to a client in Go with typed handlers.
func TestEvents(t *testing.T) {
	var (
		reset  = hub.NewEvent0("reset")
		said   = hub.NewEvent[remark]("said")
		moved  = hub.NewEvent2[string, *int]("moved")
		scored = hub.NewEvent3[string, int, []string]("scored")

		version = hub.NewClientMethod0[string]("version")
		double  = hub.NewClientMethod[int, int]("double")
		join    = hub.NewClientMethod2[string, string, []string]("join")
		sum     = hub.NewClientMethod3[int, int, int, int]("sum")
	)
	require.Equal(t, "said", said.Name())
	require.Equal(t, "sum", sum.Name())
	h, err := hub.New(hub.Methods{
		"Send": func(ctx *hub.Context) error {
			caller, all := ctx.Clients().Caller(), ctx.Clients().All()
			for _, to := range []hub.Sender{caller, all} {
				if err := reset.Send(to); err != nil {
					return err
				}
			}
			n := 7
			if err := moved.Send(all, "up", &n); err != nil {
				return err
			}
			if err := moved.Send(caller, "down", nil); err != nil {
				return err
			}
			if err := scored.Send(caller, "Ann", 3, []string{"a", "b"}); err != nil {
				return err
			}
			return said.Send(all, remark{"Ann", "hello"})
		},
		"Ask": func(ctx *hub.Context) ([]any, error) {
			caller := ctx.Clients().Caller()
			v, err := version.Invoke(ctx, caller)
			if err != nil {
				return nil, err
			}
			d, err := double.Invoke(ctx, caller, 21)
			if err != nil {
				return nil, err
			}
			j, err := join.Invoke(ctx, caller, "a", "b")
			if err != nil {
				return nil, err
			}
			s, err := sum.Invoke(ctx, caller, 1, 2, 3)
			return []any{v, d, j, s}, err
		},
		"AskFails": func(ctx *hub.Context) error {
			_, err := double.Invoke(ctx, ctx.Clients().Caller(), -1)
			return err
		},
	}, hub.Options{Logger: slog.New(slog.DiscardHandler), Events: []hub.Declaration{reset, said, moved, scored, version, double, join, sum}})
	require.NoError(t, err)
	require.Error(t, said.Send(h.Clients().Client("none"), remark{}))

	c := hubtest.Connect(t, h, hubtest.Options{})
	var got []any
	done := make(chan struct{})
	await := func() {
		t.Helper()
		select {
		case <-done:
		case <-time.After(wstest.Patience):
			t.Fatal("the event did not arrive")
		}
	}
	reset.On(c, func() { got = append(got, "reset") })
	off := moved.On(c, func(where string, n *int) { got = append(got, where, n == nil) })
	scored.On(c, func(who string, n int, list []string) { got = append(got, who, n, list) })
	said.On(c, func(r remark) {
		got = append(got, r)
		done <- struct{}{}
	})
	version.On(c, func(context.Context) (string, error) { return "1.2", nil })
	double.On(c, func(_ context.Context, n int) (int, error) {
		if n < 0 {
			return 0, hub.Error("it is negative")
		}
		return 2 * n, nil
	})
	join.On(c, func(_ context.Context, a, b string) ([]string, error) { return []string{a, b}, nil })
	sum.On(c, func(_ context.Context, x, y, z int) (int, error) { return x + y + z, nil })

	c.Call("Send")
	await()
	require.Equal(t, []any{"reset", "reset", "up", false, "down", true, "Ann", 3, []string{"a", "b"}, remark{"Ann", "hello"}}, got)
	require.Equal(t, []any{"1.2", int64(42), []any{"a", "b"}, int64(6)}, hubtest.Invoke[[]any](c, "Ask"))
	require.NotEmpty(t, c.CallFails("AskFails"))

	got = nil
	off()
	c.Call("Send")
	await()
	require.NotContains(t, got, "up")
	require.Panics(t, func() { said.On(c, nil) })
}

// All mistakes in the declarations of events are reported at once, when the hub is made.
func TestDeclarations(t *testing.T) {
	said := hub.NewEvent[string]("said")
	for _, tt := range []struct {
		name     string
		events   []hub.Declaration
		mistakes []string
	}{
		{"none", []hub.Declaration{said, hub.NewClientMethod[int, int]("other")}, nil},
		{"no name", []hub.Declaration{said, hub.NewEvent0(""), hub.Event[int]{}}, []string{"Options.Events[1] has no name", "Options.Events[2] has no name"}},
		{"twice", []hub.Declaration{said, said}, []string{`Options.Events[1]: "said" is declared twice`}},
		{"an event and a method", []hub.Declaration{said, hub.NewClientMethod[int, int]("said")}, []string{`Options.Events[1]: "said" is declared twice`}},
		{"case", []hub.Declaration{said, hub.NewEvent0("Said")}, []string{`Options.Events[1]: "said" and "Said" only differ in case`}},
		{"nil", []hub.Declaration{nil, said}, []string{"Options.Events[0] is a <nil>: use an Event or a ClientMethod"}},
		{"a pointer", []hub.Declaration{&said}, []string{"Options.Events[0] is a *hub.Event[string]"}},
		{"types", []hub.Declaration{
			hub.NewEvent[chan int]("a"), hub.NewEvent2[int, []func()]("b"), hub.NewEvent3[int, int, *chan int]("c"),
			hub.NewClientMethod[int, error]("d"), hub.NewClientMethod0[chan int]("e"), hub.NewClientMethod2[chan int, int, int]("f"),
			hub.NewEvent[[]time.Duration]("g"), hub.NewClientMethod0[time.Duration]("h"),
		}, []string{
			`argument 1 of "a" is a chan int, which cannot be encoded`, `argument 2 of "b" is a []func()`, `argument 3 of "c" is a *chan int`,
			`the result of "d" is a error, which cannot be decoded`, `the result of "e" is a chan int`, `argument 1 of "f" is a chan int`,
			`argument 1 of "g" is a []time.Duration, which has a time.Duration`, `the result of "h" is a time.Duration, which has`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := hub.New(nil, hub.Options{Events: tt.events})
			if len(tt.mistakes) == 0 {
				require.NoError(t, err)
			}
			for _, m := range tt.mistakes {
				require.ErrorContains(t, err, m)
			}
		})
	}
}

type (
	endlessList    []endlessList
	endlessPointer *endlessPointer
)

// Types that contain only themselves are inspected to an end.
func TestEndlessTypes(t *testing.T) {
	h, err := hub.New(hub.Methods{
		"Depth":   func(l endlessList) int { return len(l) },
		"Pointer": func(p endlessPointer) bool { return p == nil },
	}, hub.Options{Events: []hub.Declaration{hub.NewEvent[[]endlessList]("lists")}})
	require.NoError(t, err)
	c := hubtest.Connect(t, h, hubtest.Options{})
	require.Equal(t, 2, hubtest.Invoke[int](c, "Depth", endlessList{{}, {{}}}))
	require.True(t, hubtest.Invoke[bool](c, "Pointer", nil))
}

// BenchmarkEvent compares a typed event with a send of its name.
func BenchmarkEvent(b *testing.B) {
	said := hub.NewEvent[remark]("said")
	h, err := hub.New(nil, hub.Options{})
	require.NoError(b, err)
	r := remark{"Ann", "hello"}
	all := h.Clients().All()
	b.Run("typed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = said.Send(all, r)
		}
	})
	b.Run("by name", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = all.Send(said.Name(), r)
		}
	})
}

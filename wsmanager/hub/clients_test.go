package hub_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// named trusts the user in the query.
func named(r *http.Request, _ string) (hub.Identity, error) {
	return hub.Identity{User: r.URL.Query().Get("user")}, nil
}

// crowd is several clients of one hub, with or without stateful reconnect.
type crowd struct {
	peers []*peer
	ids   []string
}

// got returns the events of each client before a mark that is sent to all.
func (c *crowd) got(t *testing.T, h *hub.Hub) (out []string) {
	t.Helper()
	require.NoError(t, h.Clients().All().Send("mark"))
	for _, p := range c.peers {
		var texts []string
		for {
			r := p.record()
			if r == `{"type":1,"target":"mark","arguments":[]}` {
				break
			}
			r = strings.TrimPrefix(r, `{"type":1,"target":"say","arguments":["`)
			texts = append(texts, strings.TrimSuffix(r, `"]}`))
		}
		out = append(out, strings.Join(texts, " "))
	}
	return out
}

// Each selection of receivers reaches its members, with and without stateful reconnect.
func TestClients(t *testing.T) { onEachDriver(t, testClients) }

func testClients(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateful %v", stateful), func(t *testing.T) {
			act := make(chan func(ctx *hub.Context), 1)
			h, url := serve(t, hub.Methods{
				"ID": func(ctx *hub.Context) string { return ctx.ConnectionID() },
				"Do": func(ctx *hub.Context) { (<-act)(ctx) },
			}, hub.Options{Authenticate: named, StatefulReconnect: stateful})
			c := &crowd{}
			for _, user := range []string{"", "ann", "ann", "bob"} {
				k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true&user="+user)
				p := dial(t, url+"?id="+k.ConnectionToken+"&user="+user)
				p.noAcks = true
				p.send(fmt.Sprintf(`{"protocol":"json","version":%d}`, map[bool]int{false: 1, true: 2}[stateful]))
				p.expect(`{}`)
				p.result(`"`+k.ConnectionID+`"`, "ID")
				c.peers, c.ids = append(c.peers, p), append(c.ids, k.ConnectionID)
			}
			require.Equal(t, 4, h.Len())
			require.NoError(t, h.Join(c.ids[0], "g"))
			require.NoError(t, h.Join(c.ids[0], "g"), "the second Join has no effect")
			require.NoError(t, h.Join(c.ids[1], "g"))
			require.NoError(t, h.Join(c.ids[1], "h"))
			require.NoError(t, h.Join(c.ids[2], "h"))
			require.ErrorIs(t, h.Join("unknown", "g"), hub.ErrNoConnection)
			require.Error(t, h.Join(c.ids[0], ""))
			require.Error(t, h.Join(c.ids[0], strings.Repeat("x", 257)))
			h.Leave("unknown", "g")
			h.Leave(c.ids[3], "g")

			// do runs f inside a call of the client.
			do := func(i int, f func(ctx *hub.Context)) {
				act <- f
				c.peers[i].send(invocation("do", "Do"))
				for c.peers[i].record() != `{"type":3,"invocationId":"do","result":null}` { // the client's events arrive before the answer
					t.Fatal("the caller received an event of its own call")
				}
			}
			all := h.Clients()
			for _, row := range []struct {
				name string
				to   hub.Receivers
				want []string
			}{
				{"all", all.All(), []string{"x", "x", "x", "x"}},
				{"all except", all.AllExcept(c.ids[1], "unknown"), []string{"x", "", "x", "x"}},
				{"connections", all.Connections(c.ids[0], c.ids[3], "unknown"), []string{"x", "", "", "x"}},
				{"group", all.Group("g"), []string{"x", "x", "", ""}},
				{"group except", all.GroupExcept("g", c.ids[0]), []string{"", "x", "", ""}},
				{"groups", all.Groups("g", "h", "none"), []string{"x", "x", "x", ""}},
				{"no group", all.Group("none"), []string{"", "", "", ""}},
				{"user", all.User("ann"), []string{"", "x", "x", ""}},
				{"users", all.Users("ann", "bob", "unknown"), []string{"", "x", "x", "x"}},
			} {
				require.NoError(t, row.to.Send("say", "x"))
				require.Equal(t, row.want, c.got(t, h), row.name)
			}
			require.NoError(t, all.Client(c.ids[2]).Send("say", "x"))
			require.Equal(t, []string{"", "", "x", ""}, c.got(t, h))
			require.ErrorIs(t, all.Client("unknown").Send("say", "x"), hub.ErrNoConnection)

			do(0, func(ctx *hub.Context) { _ = ctx.Clients().Others().Send("say", "x") })
			require.Equal(t, []string{"", "x", "x", "x"}, c.got(t, h))
			do(1, func(ctx *hub.Context) { _ = ctx.Clients().OthersInGroup("g").Send("say", "x") })
			require.Equal(t, []string{"x", "", "", ""}, c.got(t, h))
			do(3, func(ctx *hub.Context) { _ = ctx.Join("mine"); _ = ctx.Clients().Group("g").Send("say", "x") })
			require.Equal(t, []string{"x", "x", "", ""}, c.got(t, h))
			require.NoError(t, all.Group("mine").Send("say", "x"))
			require.Equal(t, []string{"", "", "", "x"}, c.got(t, h))
			do(3, func(ctx *hub.Context) { ctx.Leave("mine"); _ = ctx.Clients().Group("mine").Send("say", "x") })
			h.Leave(c.ids[0], "g")
			require.NoError(t, all.Group("g").Send("say", "x"))
			require.Equal(t, []string{"", "x", "", ""}, c.got(t, h))

			// Arguments that cannot be encoded are reported for all selections.
			bad := func() {}
			require.ErrorContains(t, all.All().Send("say", 1, bad), `argument 2 of "say"`)
			require.Error(t, all.Group("g").Send("say", bad))
			require.Error(t, all.User("ann").Send("say", bad))
			require.Error(t, all.Client(c.ids[0]).Send("say", bad))

			// A connection that has ended is in no selection.
			c.peers[1].SendClose(1000, "")
			c.peers[1].ExpectClose(1000)
			require.Eventually(t, func() bool { return h.Len() == 3 }, wstest.Patience, 1e6)
			c.peers, c.ids = append(c.peers[:1:1], c.peers[2:]...), append(c.ids[:1:1], c.ids[2:]...)
			require.NoError(t, all.Groups("g", "h").Send("say", "x"))
			require.Equal(t, []string{"", "x", ""}, c.got(t, h))
		})
	}
}

// The caller receives events of a method before its result.
func TestCaller(t *testing.T) { onEachDriver(t, testCaller) }

func testCaller(t *testing.T) {
	_, url := serve(t, hub.Methods{"Hello": func(ctx *hub.Context) (int, error) {
		if ctx.Clients().Caller().ConnectionID() != ctx.ConnectionID() {
			return 0, errors.New("Caller is another connection")
		}
		for i := range 3 {
			if err := ctx.Clients().Caller().Send("say", i, "é\x1e"); err != nil {
				return 0, err
			}
		}
		return 4, ctx.Clients().All().Send("all")
	}}, hub.Options{})
	p := connect(t, url)
	p.send(invocation("1", "Hello"))
	p.expect(`{"type":1,"target":"say","arguments":[0,"é\u001e"]}`, `{"type":1,"target":"say","arguments":[1,"é\u001e"]}`,
		`{"type":1,"target":"say","arguments":[2,"é\u001e"]}`, `{"type":1,"target":"all","arguments":[]}`, `{"type":3,"invocationId":"1","result":4}`)
}

// counting is a protocol that counts encoded values.
type counting struct {
	hub.Protocol
	name    string
	encoded *atomic.Int64
}

func (c counting) Name() string { return c.name }

func (c counting) Encode(v any) (hub.Raw, error) {
	c.encoded.Add(1)
	return c.Protocol.Encode(v)
}

// An event for several receivers is encoded once for each protocol.
func TestOneEncodingForEachProtocol(t *testing.T) { onEachDriver(t, testOneEncodingForEachProtocol) }

func testOneEncodingForEachProtocol(t *testing.T) {
	var first, second, third atomic.Int64
	h, url := serve(t, nil, hub.Options{
		Authenticate: named,
		Protocols:    []hub.Protocol{counting{hub.JSON(), "json", &first}, counting{hub.JSON(), "other", &second}, counting{hub.JSON(), "unused", &third}},
	})
	var peers []*peer
	for i := range 20 {
		p := dial(t, url+"?user=u")
		p.send(`{"protocol":"` + []string{"json", "other"}[i%2] + `","version":1}`)
		p.expect(`{}`)
		peers = append(peers, p)
	}
	require.Eventually(t, func() bool { return h.Len() == len(peers) }, wstest.Patience, 1e6)
	for _, send := range []func(string, ...any) error{h.Clients().All().Send, h.Clients().User("u").Send} {
		first.Store(0)
		second.Store(0)
		require.NoError(t, send("say", "x"))
		for _, p := range peers {
			p.expect(`{"type":1,"target":"say","arguments":["x"]}`)
		}
		require.EqualValues(t, 1, first.Load())
		require.EqualValues(t, 1, second.Load())
	}
	require.Zero(t, third.Load())
}

// A connection receives no events before its handshake is done.
func TestNoEventsBeforeHandshake(t *testing.T) { onEachDriver(t, testNoEventsBeforeHandshake) }

func testNoEventsBeforeHandshake(t *testing.T) {
	h, url := serve(t, nil, hub.Options{Authenticate: named})
	p := dial(t, url+"?user=u")
	require.NoError(t, h.Clients().All().Send("early"))
	require.NoError(t, h.Clients().User("u").Send("early"))
	require.Zero(t, h.Len())
	p.shake()
	require.Eventually(t, func() bool { return h.Len() == 1 }, wstest.Patience, 1e6)
	require.NoError(t, h.Clients().User("u").Send("late"))
	p.expect(`{"type":1,"target":"late","arguments":[]}`)
}

// SlowConsumer decides about a client that reads too slowly; the other clients receive all events.
func TestSlowConsumer(t *testing.T) { onEachDriver(t, testSlowConsumer) }

func testSlowConsumer(t *testing.T) {
	gone := make(chan error, 1)
	h, url := serve(t, hub.Methods{"Add": func(a, b int) int { return a + b }}, hub.Options{
		WebSocket:    wsmanager.Options{Outbox: wsmanager.Outbox{Bytes: 256 << 10}, Limits: wsmanager.Limits{MaxMessageSize: 64 << 10}},
		Disconnected: func(_ *hub.Context, err error) { gone <- err },
	})
	slow, fast := connect(t, url), connect(t, url)
	fast.result("3", "Add", 1, 2)
	slow.result("3", "Add", 1, 2)
	big := strings.Repeat("x", 100_000)
	for range 1000 {
		require.NoError(t, h.Clients().All().Send("say", big))
		require.Contains(t, fast.record(), "say")
		select {
		case err := <-gone:
			require.ErrorIs(t, err, hub.ErrSlowConsumer)
			return
		default:
		}
	}
	t.Fatal("the slow client is still connected")
}

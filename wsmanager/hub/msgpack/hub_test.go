package msgpack_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func sum(items iter.Seq2[int, error]) (n int, err error) {
	for item, err := range items {
		if err != nil {
			return 0, err
		}
		n += item
	}
	return n, nil
}

func counter(ctx context.Context, n, delayMs int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, ctx.Err()) {
				return
			}
		}
	}
}

// Bytes of the JavaScript client, and the bytes that it accepts, with a real hub.
func TestHubWithMessagePack(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Add":     func(a, b int) int { return a + b },
		"Half":    func(f float64) float64 { return f / 2 },
		"Echo":    func(x any) any { return x },
		"Fail":    func() error { return hub.Error("boom") },
		"Void":    func() {},
		"Sum":     sum,
		"Counter": counter,
		"AskClient": func(ctx *hub.Context, a, b int) (int, error) {
			return hub.Invoke[int](ctx, ctx.Clients().Caller(), "clientAdd", a, b)
		},
		"When": func(at time.Time) int64 { return at.UnixMilli() },
		"Tiny": func(n uint8) uint8 { return n },
	}, hub.Options{})
	p := connect(t, url)
	p.send("029106")
	p.send("0c950180a137a3416464922802")
	p.expect("07950380a137032a")
	p.send("0c950180a137a3616464922802") // the name in another case
	p.expect("07950380a137032a")
	p.send("0c950180a131a44563686f91c0")
	p.expect("07950380a13103c0")
	p.send("0b950180a139a44661696c90", "0b950180a137a4566f696490")
	p.expect("0b950380a13901a4626f6f6d", "06940380a13702")
	p.send("11950480a23131a7436f756e746572920300")
	p.expect("07940280a2313100", "07940280a2313101", "07940280a2313102", "07940380a2313102")
	p.send("0f960180a23134a353756d9091a23133", "07940280a2313327", "07940280a2313303", "07940380a2313302")
	p.expect("08950380a23134032a")
	p.send("13950180a23137a941736b436c69656e74920506") // recorded, as is the answer
	p.expect("14960180a27331a9636c69656e7441646492050690")
	p.send("08950380a27331030b")
	p.expect("08950380a23137030b")

	p.send("0c950180a131a448616c669103") // an integer for a float
	p.expect("0f950380a13103cb3ff8000000000000")
	for _, echo := range []string{"cb3fb999999999999a", "c4030102ff", "81a16101", "a2c3a9", "d7ff1d5353006553f100", "cf001fffffffffffff", "d0df", "c3"} {
		raw := hub.Raw(unhex(t, echo))
		wire, err := protocol.Append(nil, &hub.Invocation{ID: "e", Target: "Echo", Arguments: []hub.Raw{raw}})
		require.NoError(t, err)
		p.SendBinary(wire)
		want, err := protocol.Append(nil, &hub.Completion{ID: "e", Result: raw})
		require.NoError(t, err)
		p.ExpectBinary(want)
	}
	p.send("15950180a131a45768656e91d7ff1d5353006553f100")
	p.expect("0f950380a13103cf0000018bcfe5687b")

	// A wrong argument fails the call, not the connection.
	refused := func(call string) {
		t.Helper()
		p.send(call)
		m, err := parse(t, unhex(t, p.record()))
		require.NoError(t, err)
		require.Contains(t, m.(*hub.Completion).Error, "Argument 1 is of the wrong type.")
	}
	refused("0e950180a131a454696e7991cd012c") // 300 for a uint8
	refused("0c950180a131a454696e7991ff")     // -1
	refused("0c950180a131a454696e7991c0")     // nil
	refused("0d950180a131a454696e7991a131")   // a string
	p.send("0c950180a131a454696e799107")
	p.expect("07950380a1310307")
	p.send("039207c0")
	p.ExpectClose(1000)
}

// .NET sends the handshake in a binary message and needs a binary answer. Further data in the handshake's message is a
// hub message.
func TestBinaryHandshake(t *testing.T) {
	_, url := serve(t, hub.Methods{"Add": func(a, b int) int { return a + b }}, hub.Options{})
	p := &peer{Client: wstest.Dial(t, url, nil), t: t}
	p.SendBinary(append([]byte("{\"protocol\":\"messagepack\",\"version\":1}\x1e"), unhex(t, "0c950180a137a3416464922802")...))
	p.ExpectBinary([]byte("{}\x1e"))
	p.expect("07950380a137032a")

	// A record may be split over several messages, and one message may hold several records.
	p.send("0c950180a1")
	p.send("37a34164649228")
	p.send("02" + "0c950180a138a34164649228" + "02" + "0c95")
	p.send("0180a139a3416464922802")
	p.expect("07950380a137032a", "07950380a138032a", "07950380a139032a")
}

// A malformed message ends the connection with a Close message.
func TestMalformedMessages(t *testing.T) {
	_, url := serve(t, hub.Methods{}, hub.Options{MaxReceiveSize: 1000, MaxPendingBytes: 1000})
	for name, row := range map[string]struct{ wire, want string }{
		"not an array":         {"0106", "The message could not be read."},
		"a huge length":        {"ffffffff0f", "The message could not be read."},
		"an oversized message": {"e907", "The maximum message size of 1000B was exceeded."},
		"a false length":       {"0c950180a137a3416464ddffffffff", "The message could not be read."},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, url)
			p.send(row.wire)
			m, err := parse(t, unhex(t, p.record()))
			require.NoError(t, err)
			require.Equal(t, &hub.Close{Error: row.want}, m)
			p.ExpectClose(1000)
		})
	}
}

// counting is a protocol that counts encoded values.
type counting struct {
	hub.Protocol
	values, messages atomic.Int32
}

func (c *counting) Encode(v any) (hub.Raw, error) {
	c.values.Add(1)
	return c.Protocol.Encode(v)
}

func (c *counting) Append(dst []byte, m hub.Message) ([]byte, error) {
	if _, ok := m.(*hub.Invocation); ok {
		c.messages.Add(1)
	}
	return c.Protocol.Append(dst, m)
}

// An event for clients of both protocols is encoded once for each.
func TestEventForBothProtocols(t *testing.T) {
	for _, row := range []struct {
		name string
		to   func(*hub.Hub) hub.Receivers
	}{
		{"all", func(h *hub.Hub) hub.Receivers { return h.Clients().All() }},
		{"a group", func(h *hub.Hub) hub.Receivers { return h.Clients().Group("g") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			j, m := &counting{Protocol: hub.JSON()}, &counting{Protocol: protocol}
			const each = 5
			joined := make(chan struct{}, 2*each)
			h, url := serve(t, hub.Methods{}, hub.Options{
				Protocols: []hub.Protocol{j, m},
				Connected: func(ctx *hub.Context) error {
					defer func() { joined <- struct{}{} }()
					return ctx.Join("g")
				},
			})
			var texts []*wstest.Client
			var binaries []*peer
			for range each {
				c := wstest.Dial(t, url, nil)
				c.SendText("{\"protocol\":\"json\",\"version\":1}\x1e")
				c.ExpectText("{}\x1e")
				texts = append(texts, c)
				binaries = append(binaries, connect(t, url))
			}
			for range 2 * each {
				<-joined
			}
			require.NoError(t, row.to(h).Send("message", "c1", "yo"))
			for i := range each {
				texts[i].ExpectText("{\"type\":1,\"target\":\"message\",\"arguments\":[\"c1\",\"yo\"]}\x1e")
				binaries[i].expect("14960180c0a76d65737361676592a26331a2796f90")
			}
			for _, c := range []*counting{j, m} {
				require.EqualValues(t, 2, c.values.Load(), "two arguments, encoded by %s", c.Name())
				require.EqualValues(t, 1, c.messages.Load())
			}
		})
	}
}

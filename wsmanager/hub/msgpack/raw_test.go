package msgpack_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A Raw reaches clients of both protocols with its digits and the order of its members.
func TestRawBetweenProtocols(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Echo":      func(x hub.Raw) hub.Raw { return x },
		"Message":   func(x json.RawMessage) json.RawMessage { return x },
		"Broadcast": func(ctx *hub.Context, x hub.Raw) error { return ctx.Clients().All().Send("m", x, []hub.Raw{x}) },
		"Ask": func(ctx *hub.Context, id string, x hub.Raw) (hub.Raw, error) {
			return hub.Invoke[hub.Raw](ctx, ctx.Clients().Client(id), "answer", x)
		},
	}, hub.Options{})
	text := wstest.Dial(t, url, nil)
	text.SendText("{\"protocol\":\"json\",\"version\":1}\x1e")
	text.ExpectText("{}\x1e")
	binary := connect(t, url)
	for _, row := range []struct{ json, wire string }{
		{`{"z":9007199254740993,"a":[18446744073709551615,-1,null,true,"é"],"f":1.1}`, "83a17acf0020000000000001a16195cfffffffffffffffffffc0c3a2c3a9a166cb3ff199999999999a"},
		{`[]`, "90"}, {`79228162514264337593543950336`, ""}, {"", "c4020102"}, {"", "d7ff1d5353006553f100"}, {"", "8201a161ffa162"},
	} {
		if row.json != "" {
			text.SendText(`{"type":1,"target":"Broadcast","arguments":[` + row.json + "]}\x1e")
			text.ExpectText(`{"type":1,"target":"m","arguments":[` + row.json + `,[` + row.json + "]]}\x1e")
			m, err := parse(t, unhex(t, binary.record()))
			require.NoError(t, err)
			if row.wire != "" {
				require.Equal(t, hub.Raw(unhex(t, row.wire)), m.(*hub.Invocation).Arguments[0])
			}
		}
		if row.wire != "" {
			wire, err := protocol.Append(nil, &hub.Invocation{Target: "Broadcast", Arguments: raws(t, row.wire)})
			require.NoError(t, err)
			binary.SendBinary(wire)
			m, err := parse(t, unhex(t, binary.record()))
			require.NoError(t, err)
			require.Equal(t, hub.Raw(unhex(t, row.wire)), m.(*hub.Invocation).Arguments[0])
			require.Equal(t, hub.Raw(unhex(t, "91"+row.wire)), m.(*hub.Invocation).Arguments[1])
			if got := text.Text(); row.json != "" {
				require.Equal(t, `{"type":1,"target":"m","arguments":[`+row.json+`,[`+row.json+"]]}\x1e", got)
			}
		}
	}
	// What one protocol cannot express reaches the receivers of the other.
	text.SendText(`{"type":1,"invocationId":"1","target":"Broadcast","arguments":[{"__proto__":1}]}` + "\x1e")
	text.ExpectText(`{"type":1,"target":"m","arguments":[{"__proto__":1},[{"__proto__":1}]]}` + "\x1e")
	text.ExpectText(`{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking 'Broadcast' on the server."}` + "\x1e")

	for _, p := range []hub.Protocol{hub.JSON(), protocol} {
		for _, other := range []hub.Protocol{hub.JSON(), protocol} {
			asked := client(t, url, hub.DialOptions{Protocol: other, Handlers: hub.Methods{"answer": func(x hub.Raw) hub.Raw { return x }}})
			c := client(t, url, hub.DialOptions{Protocol: p})
			for _, v := range []any{json.RawMessage(`{"b":[1,2.5],"a":9007199254740993}`), map[string]int64{"x": 1 << 60}, nil, "x", uint64(1 << 63)} {
				want, err := json.Marshal(v)
				require.NoError(t, err)
				for _, call := range []func() (hub.Raw, error){
					func() (hub.Raw, error) { return hub.Invoke[hub.Raw](t.Context(), c, "Echo", v) },
					func() (hub.Raw, error) { return hub.Invoke[hub.Raw](t.Context(), c, "Message", v) },
					func() (hub.Raw, error) { return hub.Invoke[hub.Raw](t.Context(), c, "Ask", asked.ID(), v) },
				} {
					got, err := call()
					require.NoError(t, err)
					text, err := got.JSON()
					require.NoError(t, err)
					require.Equal(t, string(want), string(text))
				}
			}
		}
	}
}

// Null is refused for the same parameters in both protocols.
func TestNullInBoth(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Time": func(time.Time) {}, "ID": func(id) {}, "Level": func(level) {}, "Number": func(float32) {},
		"Pointer": func(*time.Time) {}, "Struct": func(everything) {}, "Bytes": func([]byte) {}, "Text": func(string) {}, "Own": func(own) {},
	}, hub.Options{})
	for _, p := range []hub.Protocol{hub.JSON(), protocol} {
		c := client(t, url, hub.DialOptions{Protocol: p})
		for _, name := range []string{"Time", "ID", "Level", "Number"} {
			require.ErrorContains(t, c.Call(t.Context(), name, nil), "Argument 1 is of the wrong type.", name)
		}
		for _, name := range []string{"Pointer", "Struct", "Bytes", "Text", "Own"} {
			require.NoError(t, c.Call(t.Context(), name, nil), name)
		}
		require.NoError(t, c.Call(t.Context(), "Struct", map[string]any{"zero": nil, "quoted": nil, "level": nil, "pair": nil, "own": nil}))
	}
}

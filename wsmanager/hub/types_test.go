package hub_test

import (
	"encoding/json"
	"iter"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/dotnet"
)

// Clients cannot know the unit of a time.Duration: a TimeSpan of .NET would be 100 times as long.
func TestDurationIsRefused(t *testing.T) {
	type inside struct {
		Wait  map[string][]*time.Duration `json:"wait"`
		Other int
	}
	type hidden struct {
		Wait time.Duration `json:"-"`
		own  time.Duration
		When time.Time
	}
	for name, f := range map[string]any{
		"a parameter": func(time.Duration) {}, "a pointer": func(*time.Duration) {}, "in a struct": func([]inside) {}, "a result": func() time.Duration { return 0 },
		"in a result": func() (map[string]inside, error) { return nil, nil }, "a stream": func() iter.Seq[time.Duration] { return nil },
		"a stream of the client": func(<-chan time.Duration) {}, "a key": func(map[time.Duration]int) {},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hub.New(hub.Methods{"F": f}, hub.Options{})
			require.ErrorContains(t, err, "dotnet.TimeSpan")
		})
	}
	_, url := serve(t, hub.Methods{"F": func(hidden, dotnet.TimeSpan) {}}, hub.Options{})
	c := client(t, url, hub.DialOptions{})
	_, err := hub.Dial(testContext(t), url, hub.DialOptions{Handlers: hub.Methods{"f": func(time.Duration) {}}})
	require.ErrorContains(t, err, "dotnet.TimeSpan")
	require.ErrorContains(t, c.Call(testContext(t), "F", hidden{}, time.Second), "dotnet.TimeSpan")
	require.NoError(t, c.Call(testContext(t), "F", hidden{own: 1}, dotnet.NewTimeSpan(time.Second)))
	_, err = hub.Invoke[time.Duration](testContext(t), c, "F", hidden{}, dotnet.TimeSpan{})
	require.ErrorContains(t, err, "dotnet.TimeSpan", "null is not a duration either")
}

type celsius float64

// String is a method that does not change how a value is decoded.
func (celsius) String() string { return "" }

type choice struct{ chosen bool }

// UnmarshalJSON takes null.
func (c *choice) UnmarshalJSON(p []byte) error { c.chosen = string(p) != "null"; return nil }

// Parameters that cannot be null refuse it, whatever their methods.
func TestNullForParameters(t *testing.T) {
	onEachDriver(t, func(t *testing.T) {
		_, url := serve(t, hub.Methods{
			"Time": func(time.Time) {}, "Addr": func(netip.Addr) {}, "Celsius": func(celsius) {}, "Span": func(dotnet.TimeSpan) {}, "Decimal": func(dotnet.Decimal) {},
			"Enum": func(dotnet.Enum[shade]) {}, "Bool": func(bool) {},
			"Pointer": func(at *time.Time) bool { return at == nil }, "Choice": func(c choice) bool { return !c.chosen }, "String": func(s string) bool { return s == "" },
			"Raw": func(r hub.Raw) bool { return string(r) == "null" }, "Struct": func(s struct{ At time.Time }) bool { return s.At.IsZero() },
			"Message": func(m json.RawMessage) bool { return string(m) == "null" }, "Any": func(v any) bool { return v == nil },
		}, hub.Options{})
		p := connect(t, url)
		for _, name := range []string{"Time", "Addr", "Celsius", "Span", "Decimal", "Enum", "Bool"} {
			p.send(invocation("1", name, nil))
			require.Contains(t, p.record(), "Argument 1 is of the wrong type.", name)
		}
		for _, name := range []string{"Pointer", "Choice", "String", "Raw", "Struct", "Message", "Any"} {
			p.result("true", name, nil)
		}
		p.result("true", "Struct", json.RawMessage(`{"At":null}`))
	})
}

type shade uint8

// EnumNames implements dotnet.Named.
func (shade) EnumNames() map[shade]string { return map[shade]string{1: "Dark"} }

// A Raw is passed on with its digits and the order of its members; an any has the integers.
func TestRawAndAny(t *testing.T) {
	onEachDriver(t, func(t *testing.T) {
		_, url := serve(t, hub.Methods{
			"Raw":  func(x hub.Raw) hub.Raw { return x },
			"In":   func(x struct{ A, B hub.Raw }) []hub.Raw { return []hub.Raw{x.B, x.A, nil} },
			"Any":  func(x any) any { return x },
			"Bad":  func() hub.Raw { return hub.Raw("{") },
			"Many": func(x [2]int) int { return x[0] + x[1] },
		}, hub.Options{})
		p := connect(t, url)
		const value = `{"z":9007199254740993,"a":1.10,"big":79228162514264337593543950335,"e":1e2,"t":"\u003c"}`
		p.result(value, "Raw", json.RawMessage(value))
		p.send(`{"type":1,"invocationId":"r","target":"Raw","arguments":[ { "z" : 1 , "a" : [ 1.10 , 2 ] } ]}`)
		p.expect(`{"type":3,"invocationId":"r","result":{"z":1,"a":[1.10,2]}}`)
		p.result(`[`+value+`,1.0,null]`, "In", json.RawMessage(`{"a":1.0,"b":`+value+`}`))
		p.result(`{"a":1.1,"b":9007199254740993,"c":[18446744073709551615,-9223372036854775808],"d":79228162514264337593543950335}`, "Any",
			json.RawMessage(`{"d":79228162514264337593543950335,"b":9007199254740993,"c":[18446744073709551615,-9223372036854775808],"a":1.10}`))
		p.result("3", "Many", []int{1, 2})
		p.send(invocation("1", "Many", []int{1, 2, 3}))
		require.Contains(t, p.record(), "Argument 1 is of the wrong type.")
		p.send(invocation("1", "Any", json.RawMessage("1e400")))
		require.Contains(t, p.record(), "Argument 1 is of the wrong type.")
		p.send(invocation("1", "Bad"))
		require.Contains(t, p.record(), "An unexpected error occurred")
	})
}

// JSON cannot express what only MessagePack has.
func TestRawJSON(t *testing.T) {
	for raw, want := range map[string]string{"": "null", "1.10": "1.10", "\xc1\xc4\x02\x01\x02": `"AQI="`, "\xc1\x81\x05\xc3": `{"5":true}`} {
		got, err := hub.Raw(raw).JSON()
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	for _, raw := range []string{"\xc1", "\xc1\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "\xc1\x81"} {
		_, err := hub.Raw(raw).JSON()
		require.Error(t, err)
		_, err = hub.JSON().Encode(hub.Raw(raw))
		require.Error(t, err)
	}
	p, err := hub.Raw(nil).MarshalMsgpack()
	require.NoError(t, err)
	require.Equal(t, []byte{0xc0}, p)
	_, err = hub.Raw("\xc1").MarshalMsgpack()
	require.Error(t, err)
}

// FuzzJSONValues: decoding of any value ends without a panic, and what an any holds can be encoded.
func FuzzJSONValues(f *testing.F) {
	for _, seed := range []string{`[1,2,3]`, `{"a":[[1],[1,2]],"B":{"x":9007199254740993}}`, `1e400`, `{"":{"":[0,{}]}}`, `[`, `{"a":`, `"x"`} {
		f.Add([]byte(seed))
	}
	type target struct {
		A   [][1]int `json:"a"`
		B   map[string]any
		Any any
		P   *target `json:"p"`
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var v any
		if hub.JSON().Decode(p, &v) == nil {
			_, err := hub.JSON().Encode(v)
			require.NoError(t, err)
		}
		_ = hub.JSON().Decode(p, new(target))
		_ = hub.JSON().Decode(p, new([2]any))
	})
}

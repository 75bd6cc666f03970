package msgpack_test

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/dotnet"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

// level is an enum that is a text.
type level int

func (l level) MarshalText() ([]byte, error) { return []byte(strings.Repeat("!", int(l))), nil }
func (l *level) UnmarshalText(p []byte) error {
	if strings.Trim(string(p), "!") != "" {
		return fmt.Errorf("%q is not a level", p)
	}
	*l = level(len(p))
	return nil
}

// id is a UUID in the form of its type's text.
type id [4]byte

func (u id) MarshalText() ([]byte, error)  { return hex.AppendEncode(nil, u[:]), nil }
func (u *id) UnmarshalText(p []byte) error { _, err := hex.Decode(u[:], p); return err }

// point is an object in its own JSON, by a method of the pointer.
type own struct{ x, y int }

func (o *own) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `[%d,%d]`, o.x, o.y), nil }
func (o *own) UnmarshalJSON(p []byte) error {
	var xy [2]int
	err := json.Unmarshal(p, &xy)
	o.x, o.y = xy[0], xy[1]
	return err
}

type inner struct {
	Deep  int `json:"deep"`
	Plain int
}

type everything struct {
	Name   string            `json:"name"`
	Omit   string            `json:"omit,omitempty"`
	Zero   time.Time         `json:"zero,omitzero"`
	Quoted int64             `json:"quoted,string"`
	Hidden int               `json:"-"`
	Single float32           `json:"single"`
	ID     id                `json:"id"`
	Level  *level            `json:"level"`
	Addr   netip.Addr        `json:"addr"`
	Raw    json.RawMessage   `json:"raw"`
	Big    *big.Int          `json:"big"`
	Number json.Number       `json:"number"`
	Levels map[level]string  `json:"levels"`
	Counts map[int]string    `json:"counts"`
	Texts  map[string][]bool `json:"texts"`
	Pair   [2]int            `json:"pair"`
	Own    own               `json:"own"`
	Owns   []own             `json:"owns"`
	Any    any               `json:"any"`
	inner
	*Embedded
}

type Embedded struct {
	More string `json:"more"`
	Deep string `json:"Deep"`
}

// jsonOf returns what a client without a Go type sees of a value in MessagePack.
func jsonOf(t *testing.T, v any) string {
	t.Helper()
	raw, err := protocol.Encode(v)
	require.NoError(t, err, "%T", v)
	var r hub.Raw
	require.NoError(t, protocol.Decode(raw, &r))
	text, err := r.JSON()
	require.NoError(t, err)
	return string(text)
}

// Values have in MessagePack the members, texts and numbers that they have in JSON, and are read into the same Go value from
// both.
func TestSameAsJSON(t *testing.T) {
	two := level(2)
	when := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	all := everything{
		Name: "n", Quoted: -5, Single: 0.1, ID: id{1, 2, 3, 4}, Level: &two, Addr: netip.MustParseAddr("10.1.2.3"), Raw: json.RawMessage(`{"b":1,"a":[1.5,null]}`),
		Big: big.NewInt(math.MaxInt64), Number: "7", Levels: map[level]string{1: "one", 3: "three"}, Counts: map[int]string{-1: "minus", 10: "ten"},
		Texts: map[string][]bool{"t": {true}, "": nil}, Pair: [2]int{1, 2}, Own: own{1, 2}, Owns: []own{{3, 4}},
		Any: map[string]any{"n": int64(1), "l": []any{true, nil, "x"}}, inner: inner{Deep: 1, Plain: 2}, Embedded: &Embedded{More: "m", Deep: "d"},
	}
	for _, v := range []any{
		&all, []everything{all}, &everything{}, map[string]*everything{"a": &all},
		when, &when, map[time.Time]int{when: 1}, map[netip.Addr]bool{netip.MustParseAddr("::1"): true}, map[id]int{{1}: 1}, map[uint64]int{math.MaxUint64: 1, 2: 2},
		two, []level{1, 2}, level(0), id{9}, netip.MustParsePrefix("10.0.0.0/8"), big.NewInt(-3), big.NewInt(5), json.RawMessage("null"), json.RawMessage(" [ 1 ] "),
		float32(0.1), float64(0.1), 1e21, 1e-9, int8(-5), uint16(60000), "", "é\x1e\"\u2028", true, []string{}, []string(nil), map[string]int(nil), map[string]int{},
		[3]float64{1, 2, 3}, [2][2]int{{1}}, [4]byte{1, 2, 3, 4}, struct{}{}, []any{nil, 1, "a", []any{}, map[string]any{}}, json.Number("12"),
		struct {
			V *int `json:"v"`
			W any
		}{}, "\xff invalid \xfe", map[string]string{"\xff": "\xff"}, struct {
			Link url.URL `json:"link"`
		}{url.URL{Host: "h"}},
		dotnet.NewDateOnly(when).Time(), struct{ *Embedded }{}, struct{ Embedded }{Embedded{More: "x"}},
	} {
		name := fmt.Sprintf("%T", v)
		want, err := hub.JSON().Encode(v)
		require.NoError(t, err, name)
		require.JSONEq(t, string(want), jsonOf(t, v), name)

		raw, err := protocol.Encode(v)
		require.NoError(t, err, name)
		fromJSON, fromMessagePack := reflect.New(reflect.TypeOf(v)), reflect.New(reflect.TypeOf(v))
		require.NoError(t, hub.JSON().Decode(want, fromJSON.Interface()), name)
		require.NoError(t, protocol.Decode(raw, fromMessagePack.Interface()), name)
		require.Equal(t, fromJSON.Elem().Interface(), fromMessagePack.Elem().Interface(), name)

		var anyJSON, anyMessagePack any
		require.NoError(t, hub.JSON().Decode(want, &anyJSON))
		var r hub.Raw
		require.NoError(t, hub.JSON().Decode(want, &r))
		converted, err := protocol.Encode(r)
		require.NoError(t, err)
		require.NoError(t, protocol.Decode(converted, &anyMessagePack))
		require.Equal(t, anyJSON, anyMessagePack, name)
	}
	require.JSONEq(t, `"123456789012345678901234567890"`, jsonOf(t, huge), "digits that no number of MessagePack has")
	var back *big.Int
	raw, err := protocol.Encode(huge)
	require.NoError(t, err)
	require.NoError(t, protocol.Decode(raw, &back))
	require.Equal(t, huge, back)
}

// What JSON refuses is refused in MessagePack too, in both directions.
func TestRefusedInBoth(t *testing.T) {
	type loop struct{ Next *loop }
	endless := &loop{}
	endless.Next = endless
	for name, v := range map[string]any{
		"a map with boolean keys": map[bool]int{true: 1}, "a map with float keys": map[float64]int{1: 1}, "a map with any keys": map[any]any{1: 1},
		"a function": func() {}, "a channel": make(chan int), "complex": 1i, "a duration": time.Second, "durations": []time.Duration{1},
		"a duration in a struct": struct{ D *time.Duration }{}, "a duration in a map": map[string]time.Duration{},
		"an endless value": endless, "a year of five digits": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "invalid raw JSON": json.RawMessage("{"),
		"an invalid number": json.Number("1x"), "a number that is a text": json.Number(`"1"`), "a Raw that is neither": hub.Raw{0x81}, "an empty Raw of MessagePack": hub.Raw{0xc1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range []hub.Protocol{hub.JSON(), protocol} {
				if name == "a duration in a map" && p == protocol || name == "a duration in a struct" && p == protocol {
					continue // there is no value
				}
				_, err := p.Encode(v)
				require.Error(t, err, p.Name())
				if strings.Contains(name, "duration") {
					require.ErrorContains(t, err, "dotnet.TimeSpan")
				}
			}
		})
	}
	_, err := protocol.Encode(map[string]any{"a": map[string]int{"__proto__": 1}})
	require.ErrorContains(t, err, "__proto__", "it would end the connection of a JavaScript client")

	for _, row := range []struct {
		json   string
		target any
	}{
		{`[1,2,3]`, new([2]int)}, {`{"a":[[1],[1,2]]}`, new(map[string][][1]int)}, {`{"PAIR":[1,2,3]}`, new(everything)}, {`[{"pair":[1,2,3]}]`, new([]*everything)},
		{`{"x":{"deep":[0,0]}}`, new(map[string]struct{ Deep [1]any })}, {`[0,0,0,0,256]`, new([4]byte)},
		{`{"nope":1}`, new(map[int]int)}, {`{"300":1}`, new(map[uint8]int)}, {`{"-1":1}`, new(map[uint]int)}, {`{"?":1}`, new(map[level]int)},
		{`5`, new(time.Duration)}, {`{"d":5}`, new(struct{ D time.Duration })}, {`5`, new(id)}, {`"?"`, new(level)}, {`[]`, new(inner)}, {`"x"`, new(netip.Addr)},
		{`1e39`, new(float32)}, {`1.5`, new(int)}, {`"1"`, new(int)}, {`1`, new(string)}, {`1`, new(bool)}, {`true`, new(float64)}, {`{}`, new([]int)}, {`[]`, new(map[string]int)},
		{`256`, new(uint8)}, {`-1`, new(uint)}, {`9223372036854775808`, new(int64)}, {`{"quoted":5}`, new(everything)}, {`{"quoted":"x"}`, new(everything)}, {`5`, new(time.Time)},
		{`"x"`, new(big.Int)}, {`"x"`, new(json.Number)}, {`{"a":1}`, new(map[bool]int)}, {`{"a":1}`, new(map[any]int)},
		{`[1]`, new(any2)}, {`1.5`, new(big.Int)},
	} {
		require.Error(t, hub.JSON().Decode(hub.Raw(row.json), row.target), "%T %s", row.target, row.json)
		raw, err := protocol.Encode(hub.Raw(row.json))
		require.NoError(t, err)
		require.Error(t, protocol.Decode(raw, row.target), "%T %s", row.target, row.json)
	}
}

// any2 is an interface with a method, which cannot be decoded.
type any2 interface{ encoding.TextMarshaler }

// JavaScript sends every number with a fraction as a float of 64 bits. A float32 takes the nearest value, as in JSON.
func TestFloat32(t *testing.T) {
	var f float32
	for _, row := range []struct {
		v    float64
		want float32
	}{{0.1, 0.1}, {math.MaxFloat32, math.MaxFloat32}, {1e-50, 0}, {-1.5, -1.5}, {math.Inf(1), float32(math.Inf(1))}} {
		raw, err := protocol.Encode(row.v)
		require.NoError(t, err)
		require.NoError(t, protocol.Decode(raw, &f))
		require.Equal(t, row.want, f)
	}
	raw, err := protocol.Encode(1e39)
	require.NoError(t, err)
	require.ErrorContains(t, protocol.Decode(raw, &f), "overflows float32")
}

// Names that are received match in any case; the exact name is preferred.
func TestReceivedNames(t *testing.T) {
	type names struct {
		First  string `json:"firstName"`
		Second string `json:"SECOND"`
		Lower  int    `json:"x"`
		Upper  int    `json:"X"`
		Own    int    `json:"own" msgpack:"Eigen"`
	}
	send := map[string]any{"FirstName": "a", "second": "b", "x": 1, "X": 2, "eIGEN": 3, "other": []int{1}}
	raw, err := protocol.Encode(send)
	require.NoError(t, err)
	var got names
	require.NoError(t, protocol.Decode(raw, &got))
	require.Equal(t, names{"a", "b", 1, 2, 3}, got)
}

// Names that are sent may be those of properties in .NET, and are received in the form of both sides.
func TestSentNames(t *testing.T) {
	type names struct {
		First string `json:"firstName"`
		Own   int    `json:"own" msgpack:"own"`
		Plain int
	}
	v := names{"a", 1, 2}
	net := msgpack.New(msgpack.Options{Name: msgpack.PascalCase})
	raw, err := net.Encode(v)
	require.NoError(t, err)
	require.Equal(t, "\x83\xa9FirstName\xa1a\xa3own\x01\xa5Plain\x02", string(raw))
	other := msgpack.New(msgpack.Options{Name: func(s string) string { return "x_" + s }})
	prefixed, err := other.Encode(v)
	require.NoError(t, err)
	require.Contains(t, string(prefixed), "x_firstName")
	for _, row := range []struct {
		p   hub.Protocol
		raw hub.Raw
	}{{net, raw}, {protocol, raw}, {other, prefixed}, {other, raw}} {
		var got names
		require.NoError(t, row.p.Decode(row.raw, &got))
		require.Equal(t, v, got)
	}
	require.Equal(t, "ÄB", msgpack.PascalCase("äB"))
	require.Empty(t, msgpack.PascalCase(""))
}

// In an any, integers keep their digits in both protocols.
func TestIntegersInAny(t *testing.T) {
	for text, want := range map[string]any{
		`9007199254740993`: int64(9007199254740993), `9223372036854775807`: int64(math.MaxInt64), `-9223372036854775808`: int64(math.MinInt64),
		`18446744073709551615`: uint64(math.MaxUint64), `1.10`: 1.1, `1e2`: 100.0, `5`: int64(5),
		`[5,{"a":9007199254740993}]`: []any{int64(5), map[string]any{"a": int64(9007199254740993)}},
	} {
		var fromJSON, fromMessagePack any
		require.NoError(t, hub.JSON().Decode(hub.Raw(text), &fromJSON))
		require.Equal(t, want, fromJSON)
		raw, err := protocol.Encode(want)
		require.NoError(t, err)
		require.NoError(t, protocol.Decode(raw, &fromMessagePack))
		require.Equal(t, want, fromMessagePack)
	}
	var v any
	require.NoError(t, hub.JSON().Decode(hub.Raw(`79228162514264337593543950335`), &v))
	require.Equal(t, json.Number("79228162514264337593543950335"), v)
	raw, err := hub.JSON().Encode(v)
	require.NoError(t, err)
	require.Equal(t, `79228162514264337593543950335`, string(raw))
	raw, err = protocol.Encode(v)
	require.NoError(t, err)
	require.Equal(t, "\xbd79228162514264337593543950335", string(raw), "a decimal of .NET")
	require.Error(t, hub.JSON().Decode(hub.Raw(`[1e400]`), &v))
}

// Maps whose keys are not texts come as they do in JSON.
func TestMapsInAny(t *testing.T) {
	for wire, want := range map[string]any{
		"8201a16120a162":              map[string]any{"1": "a", "32": "b"},
		"82c301c202":                  map[string]any{"True": int64(1), "False": int64(2)},
		"81d7ff1d5353006553f10001":    map[string]any{"2023-11-14T22:13:20.123Z": int64(1)},
		"81cf0000010000000000a161":    map[string]any{"1099511627776": "a"},
		"92d7ff1d5353006553f10078":    []any{time.Date(2023, 11, 14, 22, 13, 20, 123e6, time.UTC), int64(120)},
		"81a161" + "81ff81a162c40101": map[string]any{"a": map[string]any{"-1": map[string]any{"b": []byte{1}}}},
	} {
		var v any
		require.NoError(t, protocol.Decode(unhex(t, wire), &v), wire)
		require.Equal(t, want, v)
		_, err := hub.JSON().Encode(v)
		require.NoError(t, err, "clients with JSON get it")
	}
	for _, wire := range []string{"81c001", "8190c0", "81c40001", "81cb000000000000000001"} {
		var v any
		require.Error(t, protocol.Decode(unhex(t, wire), &v), wire)
	}
	var m map[string]int
	require.NoError(t, protocol.Decode(unhex(t, "810102"), &m))
	require.Equal(t, map[string]int{"1": 2}, m)
	var ints map[int8]int
	require.NoError(t, protocol.Decode(unhex(t, "82a2313201a22d3502"), &ints), "JavaScript has no keys that are numbers")
	require.Equal(t, map[int8]int{12: 1, -5: 2}, ints)
}

// Types with keys or values of their own in MessagePack.
func TestOwnEncoding(t *testing.T) {
	when := dotnet.NewDateTime(time.Date(2023, 11, 14, 22, 13, 20, 123e6, time.UTC))
	for _, row := range []struct {
		v    any
		want string
	}{
		{map[dotnet.BoolKey]int{true: 1, false: 2}, "82c202c301"}, {map[dotnet.DateTime]int{when: 1}, "81d7ff1d5353006553f10001"},
		{struct{ S *dotnet.TimeSpan }{}, "81a153c0"}, {[]dotnet.TimeSpan{dotnet.TimeSpanOf(5)}, "9105"}, {when, "d7ff1d5353006553f100"},
	} {
		raw, err := protocol.Encode(row.v)
		require.NoError(t, err)
		require.Equal(t, row.want, hex.EncodeToString(raw))
		back := reflect.New(reflect.TypeOf(row.v))
		require.NoError(t, protocol.Decode(raw, back.Interface()))
		require.Equal(t, row.v, back.Elem().Interface())
	}
	_, err := protocol.Encode(bad{})
	require.ErrorContains(t, err, "one value")
	_, err = protocol.Encode(map[bad]int{{}: 1})
	require.ErrorContains(t, err, "one value")
}

type bad struct{}

func (bad) MarshalMsgpack() ([]byte, error) { return []byte{0x92, 1}, nil }

// A struct may be an array of its fields.
func TestStructsAsArrays(t *testing.T) {
	type pair struct {
		_msgpack struct{} `msgpack:",as_array"`
		A        int
		B        string
	}
	raw, err := protocol.Encode(pair{A: 1, B: "b"})
	require.NoError(t, err)
	require.Equal(t, "9201a162", hex.EncodeToString(raw))
	for wire, want := range map[string]pair{"9201a162": {A: 1, B: "b"}, "9101": {A: 1}, "9301a162c0": {A: 1, B: "b"}, "81a1610a": {A: 10}} {
		var p pair
		require.NoError(t, protocol.Decode(unhex(t, wire), &p), wire)
		require.Equal(t, want, p)
	}
	var plain struct{ A int }
	require.Error(t, protocol.Decode(unhex(t, "9101"), &plain), "as in JSON")
}

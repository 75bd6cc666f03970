package msgpack_test

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

var protocol = msgpack.New(msgpack.Options{})

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(s)
	require.NoError(t, err)
	return p
}

// parse parses a record with its prefix and requires that no data follows.
func parse(t testing.TB, wire []byte) (hub.Message, error) {
	t.Helper()
	record, n, err := protocol.Cut(wire, len(wire))
	require.NoError(t, err)
	require.Len(t, wire, n)
	return protocol.Parse(record)
}

func raws(t testing.TB, values ...string) []hub.Raw {
	out := make([]hub.Raw, len(values))
	for i, v := range values {
		out[i] = hub.Raw(unhex(t, v))
	}
	return out
}

func TestName(t *testing.T) {
	require.Equal(t, "messagepack", protocol.Name())
	require.Equal(t, wsmanager.BinaryMessage, protocol.MessageType())
}

// Records of Microsoft's JavaScript client, and variations of them.
func TestParse(t *testing.T) {
	for _, row := range []struct {
		name, wire string
		want       hub.Message
	}{
		{"a call", "0c950180a137a3416464922802", &hub.Invocation{ID: "7", Target: "Add", Arguments: raws(t, "28", "02")}},
		{"without an id", "0b950180c0a3416464922802", &hub.Invocation{Target: "Add", Arguments: raws(t, "28", "02")}},
		{"with an empty id", "0b950180a0a3416464922802", &hub.Invocation{Target: "Add", Arguments: raws(t, "28", "02")}},
		{"a nil argument", "0c950180a131a44563686f91c0", &hub.Invocation{ID: "1", Target: "Echo", Arguments: raws(t, "c0")}},
		{"an upload", "0f960180a23134a353756d9091a23133", &hub.Invocation{ID: "14", Target: "Sum", Arguments: raws(t), StreamIDs: []string{"13"}}},
		{"no streams, as nil", "0d960180a137a3416464922802c0", &hub.Invocation{ID: "7", Target: "Add", Arguments: raws(t, "28", "02")}},
		{"headers", "11960181a178a179a137a341646492010290", &hub.Invocation{ID: "7", Target: "Add", Arguments: raws(t, "01", "02")}},
		{"nil headers", "0c9501c0a137a3416464922802", &hub.Invocation{ID: "7", Target: "Add", Arguments: raws(t, "28", "02")}},
		{"a type of 9 bytes", "1495d3000000000000000180a137a3416464922802", &hub.Invocation{ID: "7", Target: "Add", Arguments: raws(t, "28", "02")}},
		{"further elements", "0d980180a137a341646490c0c0c3", &hub.Invocation{ID: "7", Target: "Add", Arguments: raws(t)}},
		{"an upload's item", "07940280a2313327", &hub.StreamItem{ID: "13", Item: hub.Raw{0x27}}},
		{"its end", "07940380a2313302", &hub.Completion{ID: "13"}},
		{"its failure", "14950380a2313301ac75706c6f61642062726f6b65", &hub.Completion{ID: "13", Error: "upload broke"}},
		{"an error without a text", "07950380a13101a0", &hub.Completion{ID: "1", Error: "The error has no text."}},
		{"a stream", "11950480a23131a7436f756e746572920300", &hub.Invocation{ID: "11", Target: "Counter", Arguments: raws(t, "03", "00"), Stream: true}},
		{"a cancel", "06930580a23131", &hub.CancelInvocation{ID: "11"}},
		{"a result", "08950380a27331030b", &hub.Completion{ID: "s1", Result: hub.Raw{0x0b}}},
		{"a result of nil", "08950380a2733403c0", &hub.Completion{ID: "s4", Result: hub.Raw{0xc0}}},
		{"a ping", "029106", &hub.Ping{}},
		{"a close of two elements", "039207c0", &hub.Close{}},
		{"a close", "049307c0c2", &hub.Close{}},
		{"a close with an error", "0b9307a762616420646179c2", &hub.Close{Error: "bad day"}},
		{"a close with allowReconnect", "049307c0c3", &hub.Close{AllowReconnect: true}},
		{"an ack", "03920803", &hub.Ack{SequenceID: 3}},
		{"of 200", "049208ccc8", &hub.Ack{SequenceID: 200}},
		{"of 70000", "079208ce00011170", &hub.Ack{SequenceID: 70000}},
		{"a sequence", "03920903", &hub.Sequence{SequenceID: 3}},
		{"an unknown type", "03920ac0", nil},
		{"another", "029100", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := parse(t, unhex(t, row.wire))
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

// The exact bytes that Microsoft's clients accept.
func TestAppend(t *testing.T) {
	for _, row := range []struct {
		message hub.Message
		want    string
	}{
		{&hub.Completion{ID: "7", Result: hub.Raw{0x2a}}, "07950380a137032a"},
		{&hub.Completion{ID: "7", Result: hub.Raw{0xc0}}, "07950380a13703c0"},
		{&hub.Completion{ID: "7", Result: hub.Raw{}}, "07950380a13703c0"},
		{&hub.Completion{ID: "7"}, "06940380a13702"},
		{&hub.Completion{ID: "9", Error: "boom"}, "0b950380a13901a4626f6f6d"},
		{&hub.Completion{ID: "9", Error: "boom", Result: hub.Raw{1}}, "0b950380a13901a4626f6f6d"},
		{&hub.StreamItem{ID: "11", Item: hub.Raw{0}}, "07940280a2313100"},
		{&hub.StreamItem{ID: "11"}, "07940280a23131c0"},
		{&hub.Completion{ID: "11"}, "07940380a2313102"},
		{&hub.Invocation{Target: "message", Arguments: raws(t, "a26331", "a2796f")}, "14960180c0a76d65737361676592a26331a2796f90"},
		{&hub.Invocation{ID: "s1", Target: "clientAdd", Arguments: raws(t, "05", "06")}, "14960180a27331a9636c69656e7441646492050690"},
		{&hub.Invocation{ID: "1", Target: "Up", StreamIDs: []string{"a", "b"}, Stream: true}, "0e960480a131a255709092a161a162"},
		{&hub.CancelInvocation{ID: "11"}, "06930580a23131"},
		{&hub.Ping{}, "029106"},
		{&hub.Close{}, "049307c0c2"},
		{&hub.Close{Error: "bad day"}, "0b9307a762616420646179c2"},
		{&hub.Close{AllowReconnect: true}, "049307c0c3"},
		{&hub.Ack{SequenceID: 2}, "03920802"},
		{&hub.Ack{SequenceID: 200}, "049208ccc8"},
		{&hub.Ack{SequenceID: 1000}, "059208cd03e8"},
		{&hub.Ack{SequenceID: 70000}, "079208ce00011170"},
		{&hub.Ack{SequenceID: 1 << 32}, "0b9208cf0000000100000000"},
		{&hub.Sequence{SequenceID: 4}, "03920904"},
	} {
		got, err := protocol.Append([]byte("before "), row.message)
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString([]byte("before "))+row.want, hex.EncodeToString(got))
	}
	_, err := protocol.Append(nil, nil)
	require.Error(t, err)
}

// Length prefixes grow by a byte at 128, 16384 and so on, as do headers of strings.
func TestLengthPrefixes(t *testing.T) {
	for _, row := range []struct {
		x      int
		prefix string
	}{
		{300, "b502950380a13703da012c"}, // recorded from the JavaScript client
		{20000, "a99c01950380a13703da4e20"},
		{31, "26950380a13703bf"},
		{32, "28950380a13703d920"},
		{119, "7f950380a13703d977"},
		{120, "8001950380a13703d978"},
		{255, "8702950380a13703d9ff"},
		{256, "8902950380a13703da0100"},
		{65536, "8b8004950380a13703db00010000"},
	} {
		text := strings.Repeat("x", row.x)
		raw, err := protocol.Encode(text)
		require.NoError(t, err)
		wire, err := protocol.Append(nil, &hub.Completion{ID: "7", Result: raw})
		require.NoError(t, err)
		require.Equal(t, row.prefix, hex.EncodeToString(wire[:len(wire)-row.x]))
		m, err := parse(t, wire)
		require.NoError(t, err)
		var got string
		require.NoError(t, protocol.Decode(m.(*hub.Completion).Result, &got))
		require.Equal(t, text, got)

		// The headers of the method's name and of the arguments' array also grow.
		inv := &hub.Invocation{Target: text, Arguments: make([]hub.Raw, row.x)}
		wire, err = protocol.Append(nil, inv)
		require.NoError(t, err)
		m, err = parse(t, wire)
		require.NoError(t, err)
		require.Equal(t, text, m.(*hub.Invocation).Target)
		require.Len(t, m.(*hub.Invocation).Arguments, row.x)
	}
}

func TestCut(t *testing.T) {
	for _, row := range []struct {
		name, data string
		limit      int
		record     string
		n          int
		tooBig     bool
		broken     bool
	}{
		{name: "nothing", limit: 3},
		{name: "incomplete length", data: "80", limit: 300},
		{name: "incomplete", data: "039207", limit: 3},
		{name: "one", data: "039207c0", limit: 3, record: "9207c0", n: 4},
		{name: "several records", data: "029106039207", limit: 3, record: "9106", n: 3},
		{name: "empty", data: "00", limit: 3, n: 1},
		{name: "a length with trailing zeros", data: "8280808000910600", limit: 3, record: "9106", n: 7},
		{name: "too big and incomplete", data: "04", limit: 3, tooBig: true},
		{name: "too big", data: "0401020304", limit: 3, tooBig: true},
		{name: "the biggest", data: "ffffffff07", limit: 3, tooBig: true},
		{name: "the biggest, allowed", data: "ffffffff07", limit: math.MaxInt32},
		{name: "above the maximum", data: "ffffffff08", limit: math.MaxInt32, broken: true},
		{name: "six bytes of length", data: "808080808001", limit: 3, broken: true},
		{name: "five bytes and more", data: "8080808080", limit: 3, broken: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			record, n, err := protocol.Cut(unhex(t, row.data), row.limit)
			switch {
			case row.tooBig:
				require.ErrorIs(t, err, hub.ErrRecordTooBig)
			case row.broken:
				require.Error(t, err)
				require.NotErrorIs(t, err, hub.ErrRecordTooBig)
			default:
				require.NoError(t, err)
				require.Equal(t, row.n, n)
				require.Equal(t, row.record, hex.EncodeToString(record))
			}
		})
	}
}

// Malformed records, and records without a required element.
func TestMalformedRecords(t *testing.T) {
	for name, record := range map[string]string{
		"nothing":                                 "",
		"no array":                                "06",
		"a map":                                   "810106",
		"an empty array":                          "90",
		"a type that is a string":                 "91a136",
		"a type that is nil":                      "91c0",
		"a type above int64":                      "91cfffffffffffffffff",
		"something behind":                        "910606",
		"the unused byte":                         "9106c1",
		"none inside":                             "9206c1",
		"too few elements":                        "9506",
		"a call without arguments":                "940180c0a141",
		"a call without a target":                 "950180c0c090",
		"a call with an empty target":             "950180c0a090",
		"a target that is binary":                 "950180c0c4014190",
		"arguments that are nil":                  "950180c0a141c0",
		"arguments that are a map":                "950180c0a14180",
		"an id that is a number":                  "95018007a14190",
		"headers that are an array":               "950190c0a14190",
		"a header that is a number":               "950181a16101c0a14190",
		"streamIds that are numbers":              "960180c0a141909101",
		"streamIds that are a string":             "960180c0a14190a131",
		"a stream without an id":                  "950480c0a14190",
		"an item without an id":                   "940280c001",
		"no item":                                 "930280a131",
		"a completion without an id":              "940380c002",
		"a completion without a kind":             "930380a131",
		"an unknown result kind":                  "940380a13104",
		"an error that is missing":                "940380a13101",
		"an error that is nil":                    "950380a13101c0",
		"a result that is missing":                "940380a13103",
		"a cancel without an id":                  "920580",
		"a close without elements":                "9107",
		"allowReconnect as a number":              "9307c001",
		"an ack without a number":                 "9108",
		"an ack with a string":                    "9208a131",
		"an ack above int64":                      "9208cfffffffffffffffff",
		"a string longer than the record":         "9206dbffffffff",
		"binary data longer than the record":      "9206c6ffffffff",
		"an extension longer than the record":     "9206c9ffffffff01",
		"an array longer than the record":         "9206ddffffffff",
		"a map longer than the record":            "9206dfffffffff",
		"a map with a key only":                   "920681a161",
		"a truncated integer":                     "9206ce0001",
		"100,000 levels":                          "9206" + strings.Repeat("91", 100_000) + "c0",
		"a false number of arguments":             "950180c0a141dd000f4240",
		"arguments that include the next element": "960180c0a1419201",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := protocol.Parse(unhex(t, record))
			require.Error(t, err)
			require.Nil(t, m)
		})
	}
}

// A parsed message does not refer to the buffer that it was parsed from.
func TestParseCopiesRecord(t *testing.T) {
	record := unhex(t, "960180a137a3416464922802a0"[:24]+"90")
	m, err := protocol.Parse(record)
	require.NoError(t, err)
	for i := range record {
		record[i] = 0xc1
	}
	require.Equal(t, &hub.Invocation{ID: "7", Target: "Add", Arguments: raws(t, "28", "02")}, m)
}

// Values of the JavaScript client.
func TestValues(t *testing.T) {
	at := time.UnixMilli(1700000000123).UTC()
	type point struct {
		A int `json:"a"`
	}
	for _, row := range []struct {
		wire  string
		value any
	}{
		{"cb3fb999999999999a", 0.1}, {"cb3ff8000000000000", 1.5}, {"ff", -1}, {"d0df", -33}, {"cc80", 128}, {"ce00010000", 65536},
		{"cf0000000100000000", int64(1 << 32)}, {"cf001fffffffffffff", int64(1<<53 - 1)}, {"cf0000000100000000", uint64(1 << 32)},
		{"7f", uint16(127)}, {"cd0100", int64(256)}, {"d18000", -32768}, {"d280000000", math.MinInt32}, {"d38000000000000000", int64(math.MinInt64)},
		{"d7ff1d5353006553f100", at}, {"d6ff6553f100", at.Truncate(time.Second)},
		{"c4030102ff", []byte{1, 2, 255}}, {"81a16101", point{1}}, {"a2c3a9", "é"}, {"c3", true}, {"c2", false},
		{"93010203", []int{1, 2, 3}}, {"82a16101a16202", map[string]any{"b": 2, "a": 1}}, {"c0", (*point)(nil)}, {"c0", nil},
		{"ca3fc00000", float32(1.5)}, {"90", []string{}}, {"c0", []string(nil)},
	} {
		raw, err := protocol.Encode(row.value)
		require.NoError(t, err)
		require.Equal(t, row.wire, hex.EncodeToString(raw), "%#v", row.value)
	}
	decode := func(wire string, v any) {
		t.Helper()
		require.NoError(t, protocol.Decode(unhex(t, wire), v))
	}
	var when time.Time
	decode("d7ff1d5353006553f100", &when)
	require.True(t, at.Equal(when))
	decode("d6ff6553f100", &when)
	require.Equal(t, int64(1700000000000), when.UnixMilli())
	decode("c70cff00000000fffffffff1886e00", &when)
	require.Equal(t, 1962, when.UTC().Year())
	var f float64
	decode("2a", &f)
	require.InDelta(t, 42, f, 0)
	decode("d3fffffffffffffffe", &f)
	require.InDelta(t, -2, f, 0)
	decode("ca3fc00000", &f)
	require.InDelta(t, 1.5, f, 0)
	var u8 uint8
	decode("d300000000000000ff", &u8) // any width
	require.Equal(t, uint8(255), u8)
	var p point
	decode("82a16105a17801", &p)
	require.Equal(t, point{5}, p)
	var pp *point
	decode("c0", &pp)
	require.Nil(t, pp)
	var b []byte
	decode("c4030102ff", &b)
	require.Equal(t, []byte{1, 2, 255}, b)
	var s string
	decode("a2c3a9", &s)
	require.Equal(t, "é", s)
	var a any
	for wire, want := range map[string]any{
		"2a": int64(42), "ff": int64(-1), "cc80": int64(128), "cd03e8": int64(1000), "cfffffffffffffffff": uint64(math.MaxUint64), "ca3fc00000": 1.5, "cb3ff8000000000000": 1.5, "c3": true, "c0": nil,
		"a161": "a", "c40101": []byte{1}, "9101": []any{int64(1)}, "81a161cc80": map[string]any{"a": int64(128)}, "9181a16191ccff": []any{map[string]any{"a": []any{int64(255)}}},
	} {
		a = nil
		decode(wire, &a)
		require.Equal(t, want, a, wire)
	}
	a = nil
	decode("d7ff1d5353006553f100", &a)
	require.True(t, at.Equal(a.(time.Time)))
	var inside struct {
		A any            `json:"a"`
		M map[string]any `json:"m"`
		S []any          `json:"s"`
		n any
	}
	decode("83a161cc80a16d81a178ccc8a17391ccff", &inside)
	require.Equal(t, int64(128), inside.A)
	require.Equal(t, map[string]any{"x": int64(200)}, inside.M)
	require.Equal(t, []any{int64(255)}, inside.S)
	require.Nil(t, inside.n)
}

// Types with json tags have the same names in both protocols, unless they have msgpack tags.
func TestFieldNames(t *testing.T) {
	type inner struct {
		Deep int `json:"deep"`
	}
	type thing struct {
		First  string `json:"first"`
		Second int    `json:"second,omitempty"`
		Third  int    `json:"third" msgpack:"Drittes"`
		Plain  int
		Hidden int `json:"-"`
		inner
	}
	v := thing{First: "1", Third: 3, Plain: 4, Hidden: 5, inner: inner{6}}
	raw, err := protocol.Encode(v)
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, protocol.Decode(raw, &m))
	require.Equal(t, map[string]any{"first": "1", "Drittes": int64(3), "Plain": int64(4), "deep": int64(6)}, m)
	var back thing
	require.NoError(t, protocol.Decode(raw, &back))
	v.Hidden = 0
	require.Equal(t, v, back)

	raw, err = msgpack.New(msgpack.Options{Tag: "-"}).Encode(v)
	require.NoError(t, err)
	m = nil
	require.NoError(t, protocol.Decode(raw, &m))
	require.Contains(t, m, "First")
	require.Contains(t, m, "Drittes")

	raw, err = msgpack.New(msgpack.Options{Tag: "net"}).Encode(struct {
		V int `net:"Value" json:"v"`
	}{7})
	require.NoError(t, err)
	require.Equal(t, "81a556616c756507", hex.EncodeToString(raw))
}

type celsius float64

// An integer that overflows its type is an error in all positions: the library would truncate it.
func TestIntegerOverflow(t *testing.T) {
	type embedded struct{ Low int8 }
	type numbers struct {
		Small  int8             `json:"small"`
		List   []uint16         `json:"list"`
		ByName map[string]uint8 `json:"byName"`
		ByID   map[int8]bool    `json:"byId"`
		Next   *numbers         `json:"next"`
		Pair   [2]uint32        `json:"pair"`
		Any    any              `json:"any"`
		When   time.Time        `json:"when"`
		embedded
	}
	encode := func(v any) hub.Raw {
		raw, err := protocol.Encode(v)
		require.NoError(t, err)
		return raw
	}
	type obj = map[string]any
	for _, row := range []struct {
		name   string
		value  any
		target any
		fits   bool
	}{
		{"an int of 33 bits", int64(1 << 32), new(int), strconv.IntSize == 64}, {"an uint of 33 bits", int64(1 << 32), new(uint), strconv.IntSize == 64},
		{"int8", 127, new(int8), true}, {"int8 over", 128, new(int8), false}, {"int8 under", -129, new(int8), false},
		{"uint under", -1, new(uint), false}, {"uint64", uint64(math.MaxUint64), new(uint64), true}, {"int64 over", uint64(math.MaxUint64), new(int64), false},
		{"int64 lowest", int64(math.MinInt64), new(int64), true}, {"a named float", -3, new(celsius), true}, {"a float above int64", uint64(math.MaxUint64), new(float64), false},
		{"a pointer", 300, new(*uint8), false}, {"a duration above int64", uint64(1 << 63), new(time.Duration), false},
		{"a field", obj{"small": 300}, new(numbers), false}, {"a field in range", obj{"small": 3, "when": time.Now(), "next": nil}, new(numbers), true},
		{"a list", obj{"list": []int{1, -1}}, new(numbers), false}, {"a list in range", obj{"list": []int{1, 65535}}, new(numbers), true},
		{"a map's value", obj{"byName": obj{"a": 256}}, new(numbers), false}, {"a map's key", obj{"byId": map[int]bool{200: true}}, new(numbers), false},
		{"deeper", obj{"next": obj{"next": obj{"small": -200}}}, new(numbers), false}, {"an array", obj{"pair": []int{1, -1}}, new(numbers), false},
		{"embedded", obj{"Low": 500}, new(numbers), false}, {"in an any", obj{"any": uint64(math.MaxUint64)}, new(numbers), true},
		{"unknown", obj{"other": -1, "small": 1}, new(numbers), true}, {"in a slice of structs", []obj{{"small": 1}, {"small": 1000}}, new([]numbers), false},
		{"a fraction", 1.5, new(int), false}, {"a string", "1", new(int), false}, {"an int for a string", 1, new(string), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := protocol.Decode(encode(row.value), row.target)
			if row.fits {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
			}
		})
	}
}

// Panics of the library are returned as errors.
func TestPanicsAreErrors(t *testing.T) {
	var m map[any]any
	require.Error(t, protocol.Decode(unhex(t, "819001"), &m)) // an array as a key
	var u uintptr
	require.Error(t, protocol.Decode(unhex(t, "01"), &u))
	require.Error(t, protocol.Decode(unhex(t, "01"), u))
	require.Error(t, protocol.Decode(unhex(t, "01"), nil))
	require.Error(t, protocol.Decode(unhex(t, "0101"), new(int)))
	require.Error(t, protocol.Decode(nil, new(int)))
	_, err := protocol.Encode(func() {})
	require.Error(t, err)
	_, err = protocol.Encode(struct{ C chan int }{make(chan int)})
	require.Error(t, err)
	_, err = protocol.Encode(uintptr(1))
	require.Error(t, err)
}

// False lengths cost no memory.
func TestFalseLengthsAllocateNothing(t *testing.T) {
	for _, first := range []byte{0xc6, 0xc9, 0xdb, 0xdd, 0xdf} {
		value := binary.BigEndian.AppendUint32([]byte{first}, math.MaxUint32)
		record := append(unhex(t, "950180c0a14191"), value...)
		const times = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			_, _ = protocol.Parse(record)
			var v any
			_ = protocol.Decode(value, &v)
		}
		runtime.ReadMemStats(&after)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/times, uint64(4<<10), "%x", first)
	}
}

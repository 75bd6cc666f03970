package dotnet_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub/dotnet"
)

type colour int32

func (colour) EnumNames() map[colour]string {
	return map[colour]string{0: "Red", 5: "Green", 6: "Blue"}
}

type rights uint8

func (rights) EnumNames() map[rights]string {
	return map[rights]string{1: "Read", 2: "Write", 3: "All"}
}

type unmarshaler interface {
	json.Unmarshaler
	UnmarshalMsgpack([]byte) error
	UnmarshalText([]byte) error
}

func green() dotnet.Enum[colour] { return dotnet.Enum[colour]{Value: 5} }

func decimal(t testing.TB, s string) dotnet.Decimal {
	t.Helper()
	d, err := dotnet.ParseDecimal(s)
	require.NoError(t, err)
	return d
}

var (
	utc   = time.Date(2023, 11, 14, 22, 13, 20, 123e6, time.UTC)
	later = time.FixedZone("", 2*60*60)
)

// The bytes that ASP.NET Core 10 and its client write, and that the types read.
func TestBytesOfDotnet(t *testing.T) {
	at := dotnet.NewDateTime(utc)
	for _, row := range []struct {
		value             any
		json, messagePack string
	}{
		{dotnet.TimeSpan{}, `"00:00:00"`, "00"},
		{dotnet.NewTimeSpan(time.Second), `"00:00:01"`, "ce00989680"},
		{dotnet.TimeSpanOf(937840050000), `"1.02:03:04.0050000"`, "cf000000da5b9f7f50"},
		{dotnet.TimeSpanOf(1), `"00:00:00.0000001"`, "01"},
		{dotnet.NewTimeSpan(-90 * time.Minute), `"-01:30:00"`, "d3fffffff36d596400"},
		{dotnet.TimeSpanOf(math.MaxInt64), `"10675199.02:48:05.4775807"`, "cf7fffffffffffffff"},
		{dotnet.TimeSpanOf(math.MinInt64), `"-10675199.02:48:05.4775808"`, "d38000000000000000"},
		{at, `"2023-11-14T22:13:20.123Z"`, "d7ff1d5353006553f100"},
		{dotnet.NewDateTime(utc.Truncate(time.Second)), `"2023-11-14T22:13:20Z"`, "d6ff6553f100"},
		{at.Add(dotnet.TimeSpanOf(4567)), `"2023-11-14T22:13:20.1234567Z"`, "d7ff1d6f32f06553f100"},
		{dotnet.DateTime{}.WithKind(dotnet.UTC), `"0001-01-01T00:00:00Z"`, "c70cff00000000fffffff1886e0900"},
		{dotnet.DateOnly{}, `"0001-01-01"`, "00"},
		{dotnet.NewDateOnly(utc), `"2023-11-14"`, "ce000b4615"},
		{dotnet.NewTimeOnly(22*time.Hour + 13*time.Minute + 20*time.Second + 123*time.Millisecond), `"22:13:20.1230000"`, "cf000000ba43ca04b0"},
		{dotnet.TimeOnly{}, `"00:00:00"`, "00"},
		{decimal(t, "1.10"), `1.10`, "a4312e3130"},
		{dotnet.Decimal{}, `0`, "a130"},
		{decimal(t, "-0.05"), `-0.05`, "a52d302e3035"},
		{decimal(t, "79228162514264337593543950335"), `79228162514264337593543950335`, "bd3739323238313632353134323634333337353933353433393530333335"},
		{green(), `5`, "a5477265656e"}, {dotnet.Enum[colour]{}, `0`, "a3526564"}, {dotnet.Enum[colour]{Value: 9}, `9`, "a139"},
		{dotnet.Enum[colour]{Value: -1}, `-1`, "a22d31"}, {dotnet.Enum[rights]{Value: 3}, `3`, "a3416c6c"},
	} {
		name := fmt.Sprintf("%T %v", row.value, row.value)
		text, err := json.Marshal(row.value)
		require.NoError(t, err, name)
		require.Equal(t, row.json, string(text), name)
		p, err := row.value.(interface{ MarshalMsgpack() ([]byte, error) }).MarshalMsgpack()
		require.NoError(t, err, name)
		require.Equal(t, row.messagePack, hex.EncodeToString(p), name)

		back := reflect.New(reflect.TypeOf(row.value))
		require.NoError(t, json.Unmarshal(text, back.Interface()), name)
		require.Equal(t, row.value, back.Elem().Interface(), name)
		back = reflect.New(reflect.TypeOf(row.value))
		require.NoError(t, back.Interface().(unmarshaler).UnmarshalMsgpack(p), name)
		require.Equal(t, row.value, back.Elem().Interface(), name)
		require.NoError(t, back.Interface().(unmarshaler).UnmarshalJSON([]byte("null")), name)
		require.NoError(t, back.Interface().(unmarshaler).UnmarshalMsgpack([]byte{0xc0}), name)
		require.Equal(t, row.value, back.Elem().Interface(), "null leaves it")
	}
}

func TestDateTimeKinds(t *testing.T) {
	for _, row := range []struct {
		text, want string
		kind       dotnet.Kind
	}{
		{"2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20.123Z", dotnet.UTC},
		{"2023-11-14T22:13:20.123456789Z", "2023-11-14T22:13:20.1234567Z", dotnet.UTC},
		{"2023-11-14T22:13:20.120", "2023-11-14T22:13:20.12", dotnet.Unspecified},
		{"2023-11-14T22:13:20", "2023-11-14T22:13:20", dotnet.Unspecified},
		{"2023-11-14", "2023-11-14T00:00:00", dotnet.Unspecified},
		{"2023-11-14T22:13:20.123+02:00", "2023-11-14T20:13:20.123+00:00", dotnet.Local},
		{"2023-11-14T22:13:20-03:30", "2023-11-15T01:43:20+00:00", dotnet.Local},
		{"0001-01-01T00:00:00", "0001-01-01T00:00:00", dotnet.Unspecified},
		{"9999-12-31T23:59:59.9999999", "9999-12-31T23:59:59.9999999", dotnet.Unspecified},
	} {
		var d dotnet.DateTime
		require.NoError(t, json.Unmarshal([]byte(`"`+row.text+`"`), &d), row.text)
		require.Equal(t, row.want, d.String())
		require.Equal(t, row.kind, d.Kind())
		p, err := d.MarshalMsgpack()
		require.NoError(t, err)
		var back dotnet.DateTime
		require.NoError(t, back.UnmarshalMsgpack(p))
		require.Equal(t, d.WithKind(dotnet.UTC), back)
	}
	require.Equal(t, utc, dotnet.NewDateTime(utc).Time())
	require.Equal(t, utc, dotnet.NewDateTime(utc.In(later)).Time())
	require.Panics(t, func() { dotnet.NewDateTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) })
	require.Panics(t, func() { dotnet.DateTime{}.Add(dotnet.TimeSpanOf(-1)) })
	require.Equal(t, map[dotnet.DateTime]int{dotnet.NewDateTime(utc.In(later)): 1}, map[dotnet.DateTime]int{dotnet.NewDateTime(utc): 1})
}

// The timestamp of a DateTimeOffset has the reading of its clock.
func TestDateTimeOffset(t *testing.T) {
	for _, row := range []struct {
		value             time.Time
		json, messagePack string
	}{
		{time.Date(2023, 11, 14, 22, 13, 20, 123e6, later), `"2023-11-14T22:13:20.123+02:00"`, "92d7ff1d5353006553f10078"},
		{utc, `"2023-11-14T22:13:20.123+00:00"`, "92d7ff1d5353006553f10000"},
		{time.Date(2023, 11, 14, 22, 13, 20, 0, time.FixedZone("", -210*60)), `"2023-11-14T22:13:20-03:30"`, "92d6ff6553f100d1ff2e"},
		{time.Time{}, `"0001-01-01T00:00:00+00:00"`, "92c70cff00000000fffffff1886e090000"},
	} {
		d := dotnet.DateTimeOffset{Time: row.value}
		text, err := json.Marshal(d)
		require.NoError(t, err)
		require.Equal(t, row.json, string(text))
		p, err := d.MarshalMsgpack()
		require.NoError(t, err)
		require.Equal(t, row.messagePack, hex.EncodeToString(p))
		var fromJSON, fromMessagePack dotnet.DateTimeOffset
		require.NoError(t, json.Unmarshal(text, &fromJSON))
		require.NoError(t, fromMessagePack.UnmarshalMsgpack(p))
		for _, back := range []dotnet.DateTimeOffset{fromJSON, fromMessagePack} {
			require.True(t, row.value.Equal(back.Time))
			_, want := row.value.Zone()
			_, got := back.Zone()
			require.Equal(t, want, got)
		}
	}
	for text, want := range map[string]string{
		`"2023-11-14T22:13:20Z"`: "2023-11-14T22:13:20+00:00", `"2023-11-14T22:13:20.123456789"`: "2023-11-14T22:13:20.1234567+00:00",
		`"2023-11-14"`: "2023-11-14T00:00:00+00:00",
	} {
		var d dotnet.DateTimeOffset
		require.NoError(t, json.Unmarshal([]byte(text), &d))
		got, err := d.MarshalText()
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	for _, v := range []time.Time{
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), utc.In(time.FixedZone("", 30)),
		utc.In(time.FixedZone("", 15*60*60)), time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 60*60)),
	} {
		_, err := json.Marshal(dotnet.DateTimeOffset{Time: v})
		require.Error(t, err)
		_, err = dotnet.DateTimeOffset{Time: v}.MarshalMsgpack()
		require.Error(t, err)
	}
}

// Values in another form are errors in the protocol that does not have them.
func TestWrongForms(t *testing.T) {
	for _, row := range []struct {
		target      unmarshaler
		json        []string
		messagePack []string
	}{
		{new(dotnet.TimeSpan), []string{`1`, `""`, `"1s"`, `"1:00:00"`, `"24:00:00"`, `"00:60:00"`, `"00:00:00.12345678"`, `"1.1"`, `"10675199.02:48:05.4775808"`, `"99999999.00:00:00"`, `" 00:00:01"`, `"--00:00:01"`, `true`, `[]`}, []string{"a0", "cb4014000000000000", "c3", "cfffffffffffffffff", "90", "0101", "", "cf00"}},
		{new(dotnet.DateTime), []string{`5`, `"yesterday"`, `""`, `"2023-13-14"`, `"2023-11-14 22:13:20Z"`, `"2023-11-14T"`, `"2023-11-14T22:13"`, `"2023-11-14T24:13:20Z"`, `"2023-11-14T22:13:20z"`, `"2023-11-14T22:13:20+15:00"`, `"2023-11-14T22:13:20.Z"`, `"0000-01-01"`, `"0001-01-01T00:00:00+01:00"`, `"2023-11-14T22:13:20+0200"`, `"2023-11-14T22:13:20+02"`}, []string{"a0", "01", "c701fe00", "c70cff00000000fffffff1886e0800", "92d6ff6553f10000", "d6ff6553f100c0"}},
		{new(dotnet.DateTimeOffset), []string{`5`, `""`, `"x"`, `"2023-11-14T22:13:20+14:01"`, `"0001-01-01T00:00:00+01:00"`}, []string{"d6ff6553f100", "a0", "90", "91d6ff6553f100", "92d6ff6553f100c0", "920000", "92d6ff6553f100cd0349", "92d6ff6553f100d38000000000000000", "92d6ff6553f100cfffffffffffffffff", "93d6ff6553f1000000"}},
		{new(dotnet.DateOnly), []string{`5`, `"14.11.2023"`, `"2023-11-14T00:00:00"`, `"0000-01-01"`, `"10000-01-01"`}, []string{"ff", "ce0037b9db", "a0", "ca3f800000"}},
		{new(dotnet.TimeOnly), []string{`5`, `"24:00:00"`, `"1.00:00:00"`, `"-00:00:01"`, `"22:13"`}, []string{"ff", "cf000000c92a69c000", "a0"}},
		{new(dotnet.Decimal), []string{`"1.10"`, `true`, `1e29`, `79228162514264337593543950336`, `1e-29`, `0.12345678901234567890123456789`}, []string{"05", "cb3ff8000000000000", "a178", "a0", "a22d2d", "a22b31", "a32e31", "a2312e", "a23031", "c40131"}},
		{&dotnet.Enum[colour]{}, []string{`"Green"`, `"5"`, `5.0`, `4294967296`, `true`}, []string{"05", "a5677265656e", "a6507572706c65", "a0", "aa34323934393637323936", "a22b35"}},
		{&dotnet.Enum[rights]{}, []string{`-1`, `256`}, []string{"a22d31", "a3323536", "ab526561642c204e6f6e6521"}},
	} {
		for _, text := range row.json {
			require.Error(t, json.Unmarshal([]byte(text), row.target), "%T %s", row.target, text)
		}
		for _, wire := range row.messagePack {
			p, err := hex.DecodeString(wire)
			require.NoError(t, err)
			require.Error(t, row.target.UnmarshalMsgpack(p), "%T %s", row.target, wire)
		}
		require.Error(t, row.target.UnmarshalText(nil), "%T", row.target)
	}
}

func TestEnum(t *testing.T) {
	var r dotnet.Enum[rights]
	require.NoError(t, r.UnmarshalText([]byte("Read, Write")))
	require.Equal(t, rights(3), r.Value)
	var c dotnet.Enum[colour]
	require.NoError(t, c.UnmarshalText([]byte("5")))
	require.Equal(t, green(), c)
}

func TestKeysOfMaps(t *testing.T) {
	for _, row := range []struct {
		value any
		json  string
	}{
		{map[dotnet.BoolKey]int{true: 1, false: 2}, `{"False":2,"True":1}`},
		{map[dotnet.DateTime]int{dotnet.NewDateTime(utc): 1}, `{"2023-11-14T22:13:20.123Z":1}`},
		{map[dotnet.EnumKey[colour]]int{{Value: 5}: 1, {Value: 9}: 2}, `{"9":2,"Green":1}`},
	} {
		text, err := json.Marshal(row.value)
		require.NoError(t, err)
		require.Equal(t, row.json, string(text))
		back := reflect.New(reflect.TypeOf(row.value))
		require.NoError(t, json.Unmarshal(text, back.Interface()))
		require.Equal(t, row.value, back.Elem().Interface())
		require.Error(t, json.Unmarshal([]byte(`{"Purple":1}`), back.Interface()))
	}
	var b dotnet.BoolKey
	for wire, want := range map[string]bool{"c2": false, "c3": true} {
		p, err := dotnet.BoolKey(want).MarshalMsgpack()
		require.NoError(t, err)
		require.Equal(t, wire, hex.EncodeToString(p))
		require.NoError(t, b.UnmarshalMsgpack(p))
		require.EqualValues(t, want, b)
	}
	require.Error(t, b.UnmarshalMsgpack([]byte{1}))
	var e dotnet.EnumKey[colour]
	require.NoError(t, e.UnmarshalMsgpack([]byte("\xa4Blue")))
	require.Equal(t, "Blue", e.String())
	require.Error(t, e.UnmarshalMsgpack([]byte{5}))
}

func TestTimeSpan(t *testing.T) {
	var s dotnet.TimeSpan
	for text, want := range map[string]time.Duration{"00:00:01": time.Second, "5": 120 * time.Hour, "-1.00:00:00.5": -24*time.Hour - 500*time.Millisecond} {
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s.Duration(), text)
	}
	require.Equal(t, time.Duration(math.MaxInt64), dotnet.TimeSpanOf(math.MaxInt64).Duration())
	require.Equal(t, time.Duration(math.MinInt64), dotnet.TimeSpanOf(math.MinInt64).Duration())
	require.EqualValues(t, 1, dotnet.NewTimeSpan(199).Ticks())
	require.EqualValues(t, -1, dotnet.NewTimeSpan(-199).Ticks())
}

func TestDecimal(t *testing.T) {
	for text, want := range map[string]string{"1e2": "100", "1.5e1": "15", "1.50e1": "15.0", "5E-3": "0.005", "-0": "0", "0e999": "0", "-1.10": "-1.10", "0.0000000000000000000000000001": "0.0000000000000000000000000001"} {
		require.Equal(t, want, decimal(t, text).String(), text)
	}
	d, err := dotnet.NewDecimal(big.NewInt(-330), 2)
	require.NoError(t, err)
	require.Equal(t, "-3.30", d.String())
	require.Equal(t, big.NewRat(-33, 10), d.Rat())
	require.Equal(t, big.NewInt(-330), d.Coefficient())
	require.Equal(t, 2, d.Scale())
	most, _ := new(big.Int).SetString("79228162514264337593543950335", 10)
	d, err = dotnet.NewDecimal(most, 28)
	require.NoError(t, err)
	require.Equal(t, "7.9228162514264337593543950335", d.String())
	require.Equal(t, d, decimal(t, d.String()))
	_, err = dotnet.NewDecimal(most.Add(most, big.NewInt(1)), 0)
	require.Error(t, err)
	_, err = dotnet.NewDecimal(big.NewInt(1), 29)
	require.Error(t, err)
}

// FuzzParsers: no input makes a parser panic, and a value that was parsed is written in a form that it reads again.
func FuzzParsers(f *testing.F) {
	for _, seed := range []string{`"1.02:03:04.0050000"`, `"2023-11-14T22:13:20.123+02:00"`, `"22:13:20"`, `-1.10e-3`, `5`, `"Read, Write"`, "\x92\xd6\xff\x65\x53\xf1\x00\x78", "\xc7\x0c\xff\x00", "\xa41.10", `true`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, fresh := range []func() unmarshaler{
			func() unmarshaler { return new(dotnet.TimeSpan) }, func() unmarshaler { return new(dotnet.DateTime) },
			func() unmarshaler { return new(dotnet.DateTimeOffset) }, func() unmarshaler { return new(dotnet.DateOnly) },
			func() unmarshaler { return new(dotnet.TimeOnly) }, func() unmarshaler { return new(dotnet.Decimal) },
			func() unmarshaler { return new(dotnet.Enum[colour]) },
		} {
			v := fresh()
			if json.Unmarshal(p, v) == nil {
				text, err := json.Marshal(v)
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(text, fresh()), "%s", text)
			}
			if v := fresh(); v.UnmarshalMsgpack(p) == nil {
				wire, err := v.(interface{ MarshalMsgpack() ([]byte, error) }).MarshalMsgpack()
				require.NoError(t, err)
				require.NoError(t, fresh().UnmarshalMsgpack(wire), "%x", wire)
			}
			_ = fresh().UnmarshalText(p)
		}
	})
}

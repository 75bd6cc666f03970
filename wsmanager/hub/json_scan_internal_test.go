package hub

import (
	"encoding/json"
	"math/bits"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// scannable are records that are parsed without encoding/json.
var scannable = []string{
	`{"type":1,"target":"Add","arguments":[40,2],"invocationId":"7"}`,
	`{"type":1,"target":"Add","arguments":[]}`,
	`{"type":1,"target":"Add","arguments":[ ],"invocationId":""}`,
	` { "arguments" : [ "a\u0041é" , { "b" : [ 1.5e3 , null ] } , true ] , "target" : "Add" , "type" : 1 } `,
	`{"type":4,"target":"Count","arguments":[null,1,2,3],"invocationId":"7"}`,
	`{"type":2,"invocationId":"7","item":{"a":1}}`,
	`{"type":2,"invocationId":"7","item":null}`,
	`{"type":3,"invocationId":"7"}`,
	`{"type":3,"invocationId":"7","result":[1]}`,
	`{"type":3,"invocationId":"7","result":null}`,
	`{"type":6}`,
}

// unscannable are records that are not valid, or that clients rarely send.
var unscannable = []string{
	``, `{}`, `[]`, `{"type":6`, `{"type":6}x`, `{"type":"6"}`, `{"type":16}`, `{"type":null}`, `{"TYPE":6}`,
	`{"type":1,"target":"","arguments":[]}`,
	`{"type":1,"arguments":[]}`,
	`{"type":1,"target":"Add"}`,
	`{"type":1,"target":"Add","arguments":null}`,
	`{"type":1,"target":"Add","arguments":{}}`,
	`{"type":1,"target":null,"arguments":[]}`,
	`{"type":1,"target":"\u0041dd","arguments":[]}`,
	`{"type":1,"target":"é","arguments":[]}`,
	`{"type":1,"target":"Add","target":"Sub","arguments":[]}`,
	`{"type":1,"target":"Add","arguments":[1],"arguments":[2]}`,
	`{"type":1,"target":"Add","arguments":[1],"streamIds":["s"]}`,
	`{"type":1,"target":"Add","arguments":[1],"headers":{"a":"b"}}`,
	`{"type":1,"target":"Add","arguments":[1,2,3,4,5,6,7,8,9]}`,
	`{"type":4,"target":"Count","arguments":[]}`,
	`{"type":2,"item":1}`, `{"type":2,"invocationId":"7"}`,
	`{"type":3,"result":1}`, `{"type":3,"invocationId":"7","error":"x"}`, `{"type":3,"invocationId":"7","result":1,"error":"x"}`,
	`{"type":5,"invocationId":"7"}`, `{"type":7}`, `{"type":8,"sequenceId":1}`, `{"type":0}`, `{"type":99}`,
}

// flat is the message without the memory that scanRecord shares between the parts of an Invocation.
func flat(m Message) Message {
	if inv, ok := m.(*Invocation); ok {
		c := *inv
		return &c
	}
	return m
}

func checkScan(t *testing.T, record string) (scanned bool) {
	got, ok := scanRecord([]byte(record))
	if ok {
		want, err := parseRecord([]byte(record))
		require.NoError(t, err, "%q", record)
		require.Equal(t, want, flat(got), "%q", record)
	}
	return ok
}

// TestScannedRecords: a record means the same with and without encoding/json.
func TestScannedRecords(t *testing.T) {
	for _, record := range scannable {
		require.True(t, checkScan(t, record), "%q", record)
	}
	for _, record := range unscannable {
		require.False(t, checkScan(t, record), "%q", record)
	}
}

func FuzzScanRecord(f *testing.F) {
	for _, record := range append(scannable, unscannable...) {
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record string) { checkScan(t, record) })
}

// A scanned message has no memory of its record, which may be large although the message is small.
func TestScannedRecordIsCopied(t *testing.T) {
	record := []byte(`{"type":1,"target":"Add","arguments":[` + strings.Repeat(" ", 30_000) + `40,2],"invocationId":"7"}`)
	m, ok := scanRecord(record)
	require.True(t, ok)
	clear(record)
	inv := m.(*Invocation)
	require.Equal(t, "Add", inv.Target)
	require.Equal(t, "7", inv.ID)
	require.Equal(t, []Raw{Raw("40"), Raw("2")}, inv.Arguments)
	for _, a := range inv.Arguments {
		require.Equal(t, len(a), cap(a), "an append would change another argument")
	}
}

// TestPlainValues: an argument has the same value with and without encoding/json.
func TestPlainValues(t *testing.T) {
	type named int
	types := []reflect.Type{
		reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int64](), reflect.TypeFor[bool](),
		reflect.TypeFor[uint](), reflect.TypeFor[float64](), reflect.TypeFor[named](), reflect.TypeFor[*int](), reflect.TypeFor[any](),
	}
	raws := []string{
		`"a"`, `""`, `"a\n"`, `"é"`, "\"\x80\"", `1`, `-1`, `-0`, `01`, `-`, ``, `127`, `128`, `-128`, `-129`, `1.0`, `1e2`,
		`999999999999999999`, `9223372036854775807`, `9223372036854775808`, `true`, `false`, `null`, `[1]`, `{}`, `"1"`, `"a"b`,
	}
	plain := 0
	for _, typ := range types {
		for _, raw := range raws {
			p := param{typ: typ, scalar: scalar(typ)}
			got, ok := p.decodePlain(Raw(raw), typ)
			if !ok {
				continue
			}
			plain++
			want := reflect.New(typ)
			require.NoError(t, json.Unmarshal([]byte(raw), want.Interface()), "%v from %q", typ, raw)
			require.Equal(t, want.Elem().Interface(), got.Interface(), "%v from %q", typ, raw)
		}
	}
	want := 3 + 8 + 5 + 8 + 2
	if bits.UintSize == 32 {
		want-- // a number of 18 digits is no int then
	}
	require.Equal(t, want, plain)
}

// TestPlainCompletions: a result has the same bytes with and without encoding/json.
func TestPlainCompletions(t *testing.T) {
	type named string
	plain := 0
	for _, result := range []any{
		"", "a b~", "<&>", "\"", "\\", "\n", "é", "\x7f", "\x80", 0, -1, int64(-1 << 63), true, false, nil, 1.5, uint8(1), named("a"), []int{1}, json.Number("1"),
	} {
		for _, id := range []string{"7", "", "a\"é"} {
			record, ok := appendPlainCompletion(id, result)
			if !ok {
				continue
			}
			plain++
			raw, err := JSON().Encode(result)
			require.NoError(t, err)
			want, err := JSON().Append(nil, &Completion{ID: id, Result: raw})
			require.NoError(t, err)
			require.Equal(t, string(want), string(record))
		}
	}
	require.Equal(t, 3*8, plain)
}

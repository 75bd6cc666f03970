package transcode_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/transcode"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(s)
	require.NoError(t, err)
	return p
}

// Values that both encodings have: each is converted into the other without a change.
func TestBothWays(t *testing.T) {
	for _, row := range []struct{ json, messagePack string }{
		{`null`, "c0"}, {`true`, "c3"}, {`false`, "c2"}, {`0`, "00"}, {`-1`, "ff"}, {`-33`, "d0df"}, {`127`, "7f"}, {`128`, "cc80"},
		{`-200`, "d1ff38"}, {`-70000`, "d2fffeee90"},
		{`9007199254740993`, "cf0020000000000001"}, {`9223372036854775807`, "cf7fffffffffffffff"}, {`-9223372036854775808`, "d38000000000000000"},
		{`18446744073709551615`, "cfffffffffffffffff"}, {`0.1`, "cb3fb999999999999a"}, {`1e+21`, "cb444b1ae4d6e2ef50"}, {`1e-9`, "cb3e112e0be826d695"},
		{`"é"`, "a2c3a9"}, {`"a\u001eb"`, "a3611e62"}, {`""`, "a0"}, {`[]`, "90"}, {`{}`, "80"}, {`[[],{}]`, "929080"},
		{`{"b":1,"a":[2,{"c":null}]}`, "82a16201a161920281a163c0"},
	} {
		out, err := transcode.ToMessagePack([]byte("before"), []byte(row.json))
		require.NoError(t, err, row.json)
		require.Equal(t, hex.EncodeToString([]byte("before"))+row.messagePack, hex.EncodeToString(out), row.json)
		out, err = transcode.ToJSON([]byte("before"), unhex(t, row.messagePack))
		require.NoError(t, err, row.json)
		require.Equal(t, "before"+row.json, string(out))
	}
}

func TestToMessagePack(t *testing.T) {
	for _, row := range []struct{ json, want string }{
		{" [ 1 ,\t2,\n[ ] , { } ]\r", "9401029080"}, {`{ "a" : { "b" : [ "]" , "\"" ] } , "c" : "\\" }`, "82a16181a16292a15da122a163a15c"},
		{`1.10`, "cb3ff199999999999a"}, {`-0.0`, "cb8000000000000000"}, {`0.10000000000000001`, "cb3fb999999999999a"}, {`0.10701210087010201`, "b3302e3130373031323130303837303130323031"}, {`1e2`, "cb4059000000000000"}, {`100.0`, "cb4059000000000000"},
		{`18446744073709551616`, "b43138343436373434303733373039353531363136"}, // digits that neither an integer nor a float has
		{`1.123456789012345678`, "b4312e313233343536373839303132333435363738"}, {`1e400`, "a53165343030"}, {`1e99999999999999999999`, "b63165" + strings.Repeat("39", 20)},
		{`"\ud83d"`, "a3efbfbd"}, {`"` + strings.Repeat("x", 40) + `"`, "d928" + strings.Repeat("78", 40)},
		{`[` + strings.Repeat("0,", 16) + `0]`, "dc0011" + strings.Repeat("00", 17)},
	} {
		out, err := transcode.ToMessagePack(nil, []byte(row.json))
		require.NoError(t, err, row.json)
		require.Equal(t, row.want, hex.EncodeToString(out), row.json)
	}
	for _, refused := range []string{``, `x`, `1 2`, `[`, `{"a"}`, `{"a":1,}`, `{"__proto__":1}`, `[{"a":{"__proto__":1}}]`, "\xff", strings.Repeat("[", 1001) + strings.Repeat("]", 1001)} {
		_, err := transcode.ToMessagePack(nil, []byte(refused))
		require.Error(t, err, refused)
	}
}

func TestToJSON(t *testing.T) {
	for _, row := range []struct{ messagePack, want string }{
		{"d300000000000000ff", `255`}, {"ca3dcccccd", `0.1`}, {"c4030102ff", `"AQL/"`}, {"d6ff6553f100", `"2023-11-14T22:13:20Z"`},
		{"c70cff00000000fffffff1886e0900", `"0001-01-01T00:00:00Z"`}, {"8201a16120a162", `{"1":"a","32":"b"}`}, {"81ffc0", `{"-1":null}`},
		{"82c301c202", `{"True":1,"False":2}`}, {"81d7ff1d5353006553f10001", `{"2023-11-14T22:13:20.123Z":1}`},
		{"92d7ff1d5353006553f10078", `["2023-11-14T22:13:20.123Z",120]`}, {"a1ff", `"\ufffd"`},
	} {
		out, err := transcode.ToJSON(nil, unhex(t, row.messagePack))
		require.NoError(t, err, row.messagePack)
		// Releases of encoding/json differ in the escapes of U+FFFD.
		require.Equal(t, row.want, strings.ReplaceAll(string(out), "\uFFFD", `\ufffd`), row.messagePack)
	}
	for _, refused := range []string{
		"", "c1", "0101", "91", "dcffff", "cb7ff8000000000000", "ca7f800000", "d40100", "c700ff", "c7ff", "c701ff00", "81c001", "819001", "81c40001",
		"c70cff3b9aca000000000000000000", "c70cff000000007fffffffffffffff", strings.Repeat("91", 1001) + "c0", "deffff",
	} {
		_, err := transcode.ToJSON(nil, unhex(t, refused))
		require.Error(t, err, refused)
	}
}

// FuzzToJSON: any MessagePack is converted to valid JSON, which is converted back, or is an error.
func FuzzToJSON(f *testing.F) {
	for _, seed := range []string{"82a16201a161920281a163c0", "81d7ff1d5353006553f10001", "c70cff3b9aca000000000000000000", "dcffff", "ca7f800000", "8201a16120a162"} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		out, err := transcode.ToJSON(nil, p)
		if err != nil {
			return
		}
		require.True(t, json.Valid(out), "%s", out)
		back, err := transcode.ToMessagePack(nil, out)
		if err != nil {
			require.ErrorContains(t, err, "refuses the key")
			return
		}
		rest, err := mpack.Skip(back)
		require.NoError(t, err)
		require.Empty(t, rest)
	})
}

// FuzzToMessagePack: any valid JSON is converted to one value of MessagePack, and repeated conversions do not change it.
func FuzzToMessagePack(f *testing.F) {
	for _, seed := range []string{`{"b":1,"a":[2,{"c":null}]}`, ` [ 1.10 , "\ud83d\u001e" ]`, `{"a":{"":[[],{}]}}`, `1e400`, `-0`, `["\"\\",{"\"":"]"}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		out, err := transcode.ToMessagePack(nil, p)
		if err != nil {
			return
		}
		var texts []string
		for range 3 {
			text, err := transcode.ToJSON(nil, out)
			require.NoError(t, err)
			texts = append(texts, string(text))
			out, err = transcode.ToMessagePack(nil, text)
			require.NoError(t, err)
		}
		require.Equal(t, texts[1], texts[2]) // the first may have -0, which is 0 afterwards
	})
}

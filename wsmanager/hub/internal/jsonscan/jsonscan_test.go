package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var texts = []string{
	``, ` `, `1`, `-1`, `-`, `0`, `00`, `01`, `-0`, `-01`, `1.`, `.1`, `1.5`, `1.5e`, `1e5`, `1E+5`, `1e-`, `1e-07`, `+1`, `1x`,
	`true`, `false`, `null`, `tru`, `nulls`, `True`, `NaN`,
	`""`, `"`, `"a"`, `"a`, `a"`, `"\n"`, `"\x"`, `"\u12aF"`, `"\u12aG"`, `"\u12`, `"\`, `"\"`, `"é"`, "\"\x80\"", "\"\x1f\"", "\"\x7f\"", "\"\t\"", `"\/"`,
	`[]`, `[ ]`, `[`, `]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[1,[2,{"a":[]}]]`, ` [ 1 , 2 ] `, `[1]]`, `[1}`, `{]`,
	`{}`, `{ }`, `{`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1 "b":2}`, ` { "a" : 1 , "b" : { "c" : null } } `, `{"a":1}}`, `{"a":1]`, `{1:2}`,
	strings.Repeat("[", 31) + strings.Repeat("]", 31), strings.Repeat("[", 33) + strings.Repeat("]", 33),
	strings.Repeat(`{"a":`, 31) + "1" + strings.Repeat("}", 31),
}

// scan reports whether Value accepts the whole text.
func scan(text string) bool {
	p := []byte(text)
	end, ok := Value(p, Space(p, 0))
	return ok && Space(p, end) == len(p)
}

// TestLikeEncodingJSON: everything that is accepted is valid, and nothing that is valid is refused except deep nesting.
func TestLikeEncodingJSON(t *testing.T) {
	for _, text := range texts {
		want := json.Valid([]byte(text)) && strings.Count(text, "[") <= maxDepth
		require.Equal(t, want, scan(text), "%q", text)
	}
}

func FuzzValue(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		switch got, want := scan(text), json.Valid([]byte(text)); {
		case got && !want:
			t.Fatalf("%q is accepted", text)
		case want && !got && strings.Count(text, "[")+strings.Count(text, "{") < maxDepth:
			t.Fatalf("%q is refused", text)
		}
		checkParts(t, text)
	})
}

// members returns the members of an object, by Scanner.
func members(text string) (found map[string]string, valid bool) {
	found = make(map[string]string)
	s := New([]byte(text))
	for s.Next() {
		found[string(s.Name())] = string(s.Value())
	}
	return found, s.Valid()
}

// elements returns the elements of an array, by Scanner.
func elements(text string) (found []string, valid bool) {
	s := New([]byte(`{"a":` + text + `}`))
	var array [100][]byte
	for s.Next() {
		for _, e := range array[:s.Elements(array[:])] {
			found = append(found, string(e))
		}
	}
	return found, s.Valid()
}

// checkParts compares the members of an object and the elements of an array with those that encoding/json finds.
func checkParts(t *testing.T, text string) {
	if got, ok := members(text); ok {
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(text), &want), "%q", text)
		require.Len(t, got, len(want))
		for name, value := range want {
			require.Equal(t, string(value), got[name], "%q", text)
		}
	}
	if got, ok := elements(text); ok && !strings.Contains(text, `":`) { // fuzzing finds texts that go on with members
		var want []json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(text), &want), "%q", text)
		require.Len(t, got, len(want))
		for i, value := range want {
			require.Equal(t, string(value), got[i], "%q", text)
		}
	}
}

func TestParts(t *testing.T) {
	for _, text := range texts {
		checkParts(t, text)
	}
	for text, valid := range map[string]bool{
		`{}`: true, ` { } `: true, `{"a":1} x`: false, `{"\u0061":1}`: false, `{"a":1`: false, `{"a":[1`: false, `[]`: false, ``: false, `{"a":1,"b":"c"}`: true,
	} {
		_, ok := members(text)
		require.Equal(t, valid, ok, "%q", text)
	}
	got, ok := elements(` [ 1 , "a" ,[] ] `)
	require.True(t, ok)
	require.Equal(t, []string{`1`, `"a"`, `[]`}, got)
	for _, text := range []string{`1`, `[1,]`, `[1`, `[`, `[` + strings.Repeat("1,", 100) + `1]`} {
		_, ok := elements(text)
		require.False(t, ok, "%q", text)
	}
	s := New([]byte(`{"a":"b\n"}`))
	require.True(t, s.Next())
	s.Plain()
	require.False(t, s.Next())
	require.False(t, s.Valid(), "a text with an escape is not plain")
}

// TestRun: each byte, at each place of a word of 8 and behind it.
func TestRun(t *testing.T) {
	for c := range 256 {
		for place := range 20 {
			text := []byte(strings.Repeat("a", 20))
			text[place] = byte(c)
			want := place
			if c >= ' ' && c <= '~' && c != '"' && c != '\\' {
				want = len(text)
			}
			require.Equal(t, want, Run(text), "%q", text)
			require.Equal(t, want, Run(string(text)), "%q", text)
		}
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]bool{
		`"a b~"`: true, `""`: true, `"a\n"`: false, `"é"`: false, "\"\x7f\"": false, "\"\x1f\"": false, `"a`: false, `a`: false, ``: false,
	} {
		got, end, ok := Plain([]byte(text), 0)
		require.Equal(t, want, ok, "%q", text)
		if ok {
			require.Equal(t, text[1:len(text)-1], string(got))
			require.Equal(t, len(text), end)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p := []byte(`{"type":1,"target":"a","arguments":["b",{"c":[1,2.5e3,null]}]}`)
	n := 0
	require.Zero(t, testing.AllocsPerRun(100, func() {
		var elements [4][]byte
		s := New(p)
		for s.Next() {
			switch string(s.Name()) {
			case "arguments":
				n += s.Elements(elements[:])
			case "target":
				n += len(s.Plain())
			default:
				n += len(s.Value())
			}
		}
	}))
	require.NotZero(t, n)
}

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

// checkParts compares the members of an object and the elements of an array with those that encoding/json finds.
func checkParts(t *testing.T, text string) {
	p := []byte(text)
	members := make(map[string]string)
	if Members(p, func(name, value []byte) bool { members[string(name)] = string(value); return true }) {
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(p, &want), "%q", text)
		require.Len(t, members, len(want))
		for name, value := range want {
			require.Equal(t, string(value), members[name], "%q", text)
		}
	}
	var elements []string
	if Elements(p, func(value []byte) bool { elements = append(elements, string(value)); return true }) {
		var want []json.RawMessage
		require.NoError(t, json.Unmarshal(p, &want), "%q", text)
		require.Len(t, elements, len(want))
		for i, value := range want {
			require.Equal(t, string(value), elements[i], "%q", text)
		}
	}
}

func TestParts(t *testing.T) {
	for _, text := range texts {
		checkParts(t, text)
	}
	stop := func([]byte) bool { return false }
	require.False(t, Elements([]byte(`[1,2]`), stop))
	require.False(t, Members([]byte(`{"a":1}`), func(_, value []byte) bool { return stop(value) }))
	require.False(t, Members([]byte(`{"\u0061":1}`), func(_, _ []byte) bool { return true }), "an escape in a name")
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
		Members(p, func(_, value []byte) bool {
			n += len(value)
			Elements(value, func(e []byte) bool { n += len(e); return true })
			return true
		})
	}))
	require.NotZero(t, n)
}

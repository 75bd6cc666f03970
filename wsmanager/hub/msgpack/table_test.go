package msgpack_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/hubtypes"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

var update = flag.Bool("update", false, "write the tables of types in docs/signalr.md")

// candidate is a form of a value that a client may send.
type candidate struct{ name, json, messagePack string }

// candidates are the forms that are tried with each type. Those that one protocol does not have are empty.
var candidates = []candidate{
	{"null", `null`, "c0"},
	{"boolean", `true`, "c3"},
	{"integer", `1`, "01"},
	{"fraction", `1.5`, "cb3ff8000000000000"},
	{"text", `"x"`, "a178"},
	{"digits as text", `"5"`, "a135"},
	{"RFC 3339", `"2026-01-02T03:04:05Z"`, "b4323032362d30312d30325430333a30343a30355a"},
	{"without offset", `"2026-01-02T03:04:05"`, "b3323032362d30312d30325430333a30343a3035"},
	{"date", `"2026-01-02"`, "aa323032362d30312d3032"},
	{"time", `"01:00:00"`, "a830313a30303a3030"},
	{"base64", `"AQL/"`, "a44151 4c2f"},
	{"name", `"Green"`, "a5477265656e"},
	{"binary", "", "c4020102"},
	{"timestamp", "", "d6ff6553f100"},
	{"timestamp, minutes", "", "92d6ff6553f10078"},
	{"array of 0", `[]`, "90"},
	{"of 2 integers", `[1,2]`, "920102"},
	{"of 3 integers", `[1,2,3]`, "93010203"},
	{"object", `{}`, "80"},
	{"unknown members", `{"?":0}`, "81a13f00"},
	{"keys as digits", `{"5":1}`, "81a13501"},
	{"keys as integers", "", "810501"},
	{"keys as booleans", "", "81c301"},
}

// typeTable calls a real hub with a value of each type, and with each candidate.
func typeTable(t *testing.T) string {
	rows := hubtypes.Rows()
	methods := hub.Methods{}
	for i, row := range rows {
		typ := row.Type()
		methods[hubtypes.Method("Take", i)] = reflect.MakeFunc(reflect.FuncOf([]reflect.Type{typ}, nil, false), func([]reflect.Value) []reflect.Value { return nil }).Interface()
		methods[hubtypes.Method("Give", i)] = reflect.MakeFunc(reflect.FuncOf(nil, []reflect.Type{typ}, false), func([]reflect.Value) []reflect.Value {
			v := reflect.New(typ).Elem()
			v.Set(reflect.ValueOf(row.Value))
			return []reflect.Value{v}
		}).Interface()
	}
	_, url := serve(t, methods, hub.Options{})
	clients := []*hub.Connection{client(t, url, hub.DialOptions{Protocol: hub.JSON()}), client(t, url, hub.DialOptions{})}

	var b strings.Builder
	b.WriteString("| Go | JSON, sent | JSON, received | MessagePack, sent | MessagePack, received | in JavaScript |\n| --- | --- | --- | --- | --- | --- |\n")
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |", code(row.Name))
		for n, c := range clients {
			sent, err := hub.Invoke[hub.Raw](t.Context(), c, hubtypes.Method("Give", i))
			require.NoError(t, err, row.Name)
			if n == 0 {
				fmt.Fprintf(&b, " %s |", code(string(sent)))
			} else {
				text, _ := diagnostic(t, sent[1:])
				fmt.Fprintf(&b, " %s |", code(text))
			}
			require.NoError(t, c.Call(t.Context(), hubtypes.Method("Take", i), sent), "%s: its own form is received", row.Name)
			var accepted []string
			for _, cand := range candidates {
				raw := hub.Raw(cand.json)
				if n == 1 {
					raw = append(hub.Raw{0xc1}, unhex(t, strings.ReplaceAll(cand.messagePack, " ", ""))...)
				}
				if len(raw) == 0 {
					continue
				}
				if err := c.Call(t.Context(), hubtypes.Method("Take", i), raw); err == nil {
					accepted = append(accepted, cand.name)
				} else {
					require.ErrorContains(t, err, "Argument 1 is of the wrong type.", row.Name)
				}
			}
			fmt.Fprintf(&b, " %s |", summary(accepted))
		}
		types := code(row.JSON)
		if row.MessagePack != row.JSON {
			types += "; " + code(row.MessagePack)
		}
		fmt.Fprintf(&b, " %s |\n", types)
	}
	return b.String()
}

// summary shortens a list of candidates.
func summary(accepted []string) string {
	text := strings.Join(accepted, ", ")
	for _, group := range []struct{ all, name string }{
		{"text, digits as text, RFC 3339, without offset, date, time, base64, name", "text"},
		{"array of 0, of 2 integers, of 3 integers", "array"},
		{"object, unknown members", "object"},
		{"keys as digits, keys as integers, keys as booleans", "keys of any kind"},
		{"binary, timestamp, timestamp, minutes", "binary, timestamp"},
	} {
		text = strings.ReplaceAll(text, group.all, group.name)
	}
	switch text {
	case "":
		return "as sent"
	case "null, boolean, integer, fraction, text, array, object, keys as digits", "null, boolean, integer, fraction, text, binary, timestamp, array, object, keys of any kind":
		return "all"
	}
	return text
}

func code(s string) string { return "`" + strings.ReplaceAll(s, "|", `\|`) + "`" }

// anyTable shows which Go types a client's values have in an any.
func anyTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| in an `any` | JSON | MessagePack |\n| --- | --- | --- |\n")
	for _, row := range []candidate{
		{"an integer", `5`, "05"}, {"an integer above 2^63", `18446744073709551615`, "cfffffffffffffffff"}, {"an integer of more than 64 bits", `18446744073709551616`, ""},
		{"a fraction, or a float", `5.0`, "cb4014000000000000"}, {"a float of 32 bits", "", "ca3f800000"}, {"a text", `"x"`, "a178"}, {"binary data", "", "c40101"},
		{"a timestamp", "", "d6ff6553f100"}, {"an array", `[]`, "90"}, {"an object, or a map with keys of any kind", `{}`, "810501"},
	} {
		fmt.Fprintf(&b, "| %s |", row.name)
		for n, p := range []hub.Protocol{hub.JSON(), protocol} {
			raw := hub.Raw([]string{row.json, string(unhex(t, row.messagePack))}[n])
			if len(raw) == 0 {
				b.WriteString(" |")
				continue
			}
			var v any
			require.NoError(t, p.Decode(raw, &v))
			name := strings.ReplaceAll(fmt.Sprintf("%T", v), "interface {}", "any")
			fmt.Fprintf(&b, " %s |", code(strings.ReplaceAll(name, "[]uint8", "[]byte")))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// diagnostic describes a value of MessagePack in the notation of JSON, with the kinds that JSON does not have.
func diagnostic(t *testing.T, p []byte) (text string, rest []byte) {
	h, p, err := mpack.Read(p)
	require.NoError(t, err)
	switch h.Kind {
	case mpack.Nil:
		return "nil", p
	case mpack.Bool:
		return fmt.Sprint(h.N == 1), p
	case mpack.Int:
		if h.Negative {
			return fmt.Sprint(int64(h.N)), p
		}
		return fmt.Sprint(h.N), p
	case mpack.Float:
		if h.Single {
			return fmt.Sprintf("float32 %v", math.Float32frombits(uint32(h.N))), p
		}
		return fmt.Sprintf("float64 %v", h.Float()), p
	case mpack.String:
		return fmt.Sprintf("%q", p[:h.N]), p[h.N:]
	case mpack.Binary:
		return "binary " + hex.EncodeToString(p[:h.N]), p[h.N:]
	case mpack.Extension:
		at, err := mpack.Time(p[:h.N])
		require.NoError(t, err)
		return "timestamp " + at.Format(time.RFC3339Nano), p[h.N:]
	}
	var items []string
	for range h.N {
		item, rest := diagnostic(t, p)
		if h.Kind == mpack.Map {
			var value string
			value, rest = diagnostic(t, rest)
			item += ": " + value
		}
		items, p = append(items, item), rest
	}
	if h.Kind == mpack.Map {
		return "{" + strings.Join(items, ", ") + "}", p
	}
	return "[" + strings.Join(items, ", ") + "]", p
}

// The tables of types in docs/signalr.md say what a hub does. With -update the test writes them.
func TestTypesInTheDocument(t *testing.T) {
	file := filepath.Join("..", "..", "..", "docs", "signalr.md")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	page := string(text)
	for name, table := range map[string]string{"types": typeTable(t), "types in any": anyTable(t)} {
		begin, end := "<!-- generated: "+name+" -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(page, begin)
		require.True(t, ok, begin)
		old, after, ok := strings.Cut(rest, end)
		require.True(t, ok, end)
		if *update {
			page = before + begin + table + end + after
			continue
		}
		require.Equal(t, table, old, "write it with: go test -run TestTypesInTheDocument -update ./wsmanager/hub/msgpack")
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(page), 0o644))
	}
}

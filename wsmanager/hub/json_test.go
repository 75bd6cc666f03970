package hub_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

func raws(values ...string) []hub.Raw {
	out := make([]hub.Raw, len(values))
	for i, v := range values {
		out[i] = hub.Raw(v)
	}
	return out
}

// Records of Microsoft's JavaScript client.
func TestJSONParse(t *testing.T) {
	for _, row := range []struct {
		record string
		want   hub.Message
	}{
		{`{"target":"Add","arguments":[40,2],"invocationId":"7","type":1}`, &hub.Invocation{ID: "7", Target: "Add", Arguments: raws("40", "2")}},
		{`{"target":"Add","arguments":[40,2],"type":1}`, &hub.Invocation{Target: "Add", Arguments: raws("40", "2")}},
		{`{"target":"Echo","arguments":[null],"invocationId":"1","type":1}`, &hub.Invocation{ID: "1", Target: "Echo", Arguments: raws("null")}},
		{`{"target":"Sum","arguments":[],"invocationId":"14","streamIds":["13"],"type":1}`, &hub.Invocation{ID: "14", Target: "Sum", Arguments: raws(), StreamIDs: []string{"13"}}},
		{`{"invocationId":"13","item":39,"type":2}`, &hub.StreamItem{ID: "13", Item: hub.Raw("39")}},
		{`{"invocationId":"13","item":null,"type":2}`, &hub.StreamItem{ID: "13", Item: hub.Raw("null")}},
		{`{"invocationId":"13","type":3}`, &hub.Completion{ID: "13"}},
		{`{"error":"upload broke","invocationId":"13","type":3}`, &hub.Completion{ID: "13", Error: "upload broke"}},
		{`{"target":"Counter","arguments":[3,0],"invocationId":"11","type":4}`, &hub.Invocation{ID: "11", Target: "Counter", Arguments: raws("3", "0"), Stream: true}},
		{`{"invocationId":"11","type":5}`, &hub.CancelInvocation{ID: "11"}},
		{`{"invocationId":"s1","result":11,"type":3}`, &hub.Completion{ID: "s1", Result: hub.Raw("11")}},
		{`{"invocationId":"s4","result":null,"type":3}`, &hub.Completion{ID: "s4", Result: hub.Raw("null")}},
		{`{"type":6}`, &hub.Ping{}},
		{`{"type":3,"invocationId":"7","error":""}`, &hub.Completion{ID: "7", Error: hub.NoErrorText}},
		{`{"type":3,"invocationId":"7","error":null}`, &hub.Completion{ID: "7"}},
		{`{"type":7}`, &hub.Close{}},
		{`{"type":7,"error":"bad day","allowReconnect":true}`, &hub.Close{Error: "bad day", AllowReconnect: true}},
		{`{"type":8,"sequenceId":3}`, &hub.Ack{SequenceID: 3}},
		{`{"type":9,"sequenceId":3}`, &hub.Sequence{SequenceID: 3}},
		{`{"type":1,"headers":{"x":"y"},"invocationId":"7","target":"Add","arguments":[1,2]}`, &hub.Invocation{ID: "7", Target: "Add", Arguments: raws("1", "2")}},
		{`{"unknown":{"a":[1]},"arguments":[{"b":"\u001e"}],"type":1,"target":"T","invocationId":null}`, &hub.Invocation{Target: "T", Arguments: raws(`{"b":"\u001e"}`)}},
		{`{"type":10,"further":"member"}`, nil},
		{`{"type":0}`, nil},
	} {
		got, err := hub.JSON().Parse([]byte(row.record))
		require.NoError(t, err, row.record)
		require.Equal(t, row.want, got, row.record)
	}
}

// The exact bytes that Microsoft's clients accept.
func TestJSONAppend(t *testing.T) {
	for _, row := range []struct {
		message hub.Message
		want    string
	}{
		{&hub.Completion{ID: "7", Result: hub.Raw("42")}, `{"type":3,"invocationId":"7","result":42}`},
		{&hub.Completion{ID: "7", Result: hub.Raw("null")}, `{"type":3,"invocationId":"7","result":null}`},
		{&hub.Completion{ID: "7"}, `{"type":3,"invocationId":"7"}`},
		{&hub.Completion{ID: "9", Error: "boom"}, `{"type":3,"invocationId":"9","error":"boom"}`},
		{&hub.Completion{ID: "9", Error: "boom", Result: hub.Raw("1")}, `{"type":3,"invocationId":"9","error":"boom"}`},
		{&hub.StreamItem{ID: "11", Item: hub.Raw("0")}, `{"type":2,"invocationId":"11","item":0}`},
		{&hub.StreamItem{ID: "11"}, `{"type":2,"invocationId":"11","item":null}`},
		{&hub.Invocation{Target: "message", Arguments: raws(`"c1"`, `"yo"`)}, `{"type":1,"target":"message","arguments":["c1","yo"]}`},
		{&hub.Invocation{ID: "s1", Target: "clientAdd", Arguments: raws("5", "6")}, `{"type":1,"invocationId":"s1","target":"clientAdd","arguments":[5,6]}`},
		{&hub.Invocation{ID: "1", Target: "Up", StreamIDs: []string{"a", "b"}, Stream: true}, `{"type":4,"invocationId":"1","target":"Up","arguments":[],"streamIds":["a","b"]}`},
		{&hub.CancelInvocation{ID: "11"}, `{"type":5,"invocationId":"11"}`},
		{&hub.Ping{}, `{"type":6}`},
		{&hub.Close{}, `{"type":7}`},
		{&hub.Close{Error: "bad day"}, `{"type":7,"error":"bad day"}`},
		{&hub.Close{AllowReconnect: true}, `{"type":7,"allowReconnect":true}`},
		{&hub.Ack{SequenceID: 2}, `{"type":8,"sequenceId":2}`},
		{&hub.Sequence{SequenceID: 4}, `{"type":9,"sequenceId":4}`},
		{&hub.Completion{ID: "é\x1e\"", Error: "a\nb"}, `{"type":3,"invocationId":"é\u001e\"","error":"a\nb"}`},
	} {
		got, err := hub.JSON().Append([]byte("before "), row.message)
		require.NoError(t, err)
		require.Equal(t, "before "+row.want+"\x1e", string(got))
	}
}

// Malformed records, and records without a required member.
func TestJSONMalformedRecords(t *testing.T) {
	for _, record := range []string{
		``, `nonsense`, `null`, `[]`, `1`, `{}`, `{"type":null}`, `{"type":"1"}`, `{"type":1.5}`, `{"type":6`, `{"type":6}}`,
		`{"type":1}`, `{"type":1,"target":"T"}`, `{"type":1,"arguments":[]}`, `{"type":1,"target":"","arguments":[]}`,
		`{"type":1,"target":1,"arguments":[]}`, `{"type":1,"target":"T","arguments":{}}`, `{"type":1,"target":"T","arguments":null}`,
		`{"type":1,"target":"T","arguments":[],"invocationId":7}`, `{"type":1,"target":"T","arguments":[],"streamIds":[1]}`,
		`{"type":1,"target":"T","arguments":[],"headers":{"a":1}}`,
		`{"type":4,"target":"T","arguments":[]}`, `{"type":2,"invocationId":"1"}`, `{"type":2,"item":1}`,
		`{"type":3}`, `{"type":3,"invocationId":"1","result":1,"error":"e"}`, `{"type":3,"invocationId":"1","error":1}`,
		`{"type":5}`, `{"type":7,"allowReconnect":"yes"}`, `{"type":8}`, `{"type":9,"sequenceId":"3"}`,
		strings.Repeat("[", 100_000),
	} {
		m, err := hub.JSON().Parse([]byte(record))
		require.Error(t, err, record)
		require.Nil(t, m)
	}
}

func TestJSONCut(t *testing.T) {
	for _, row := range []struct {
		name, data string
		limit      int
		record     string
		n          int
		tooBig     bool
	}{
		{name: "nothing", limit: 3},
		{name: "incomplete", data: "abc", limit: 3},
		{name: "one", data: "abc\x1e", limit: 3, record: "abc", n: 4},
		{name: "several records", data: "a\x1ebc\x1e", limit: 3, record: "a", n: 2},
		{name: "empty", data: "\x1e", limit: 3, record: "", n: 1},
		{name: "too big and incomplete", data: "abcd", limit: 3, tooBig: true},
		{name: "too big", data: "abcd\x1e", limit: 3, tooBig: true},
	} {
		record, n, err := hub.JSON().Cut([]byte(row.data), row.limit)
		if row.tooBig {
			require.ErrorIs(t, err, hub.ErrRecordTooBig, row.name)
			continue
		}
		require.NoError(t, err, row.name)
		require.Equal(t, row.n, n, row.name)
		require.Equal(t, row.record, string(record), row.name)
	}
}

func TestJSONValues(t *testing.T) {
	raw, err := hub.JSON().Encode("\x1e<&>\u2028")
	require.NoError(t, err)
	require.Equal(t, `"\u001e<&>\u2028"`, string(raw))
	_, err = hub.JSON().Encode(func() {})
	require.Error(t, err)
	var v struct{ FirstName string }
	require.NoError(t, hub.JSON().Decode(hub.Raw(`{"firstname":"Ann"}`), &v))
	require.Equal(t, "Ann", v.FirstName, "names match case-insensitively")
}

// FuzzJSONProtocol: cutting and parsing of any input end without a panic and within the limit. A message that was
// parsed can be written and parsed again.
func FuzzJSONProtocol(f *testing.F) {
	for _, seed := range []string{
		"{\"target\":\"Add\",\"arguments\":[40,2],\"invocationId\":\"7\",\"type\":1}\x1e",
		"{\"type\":1,\"target\":\"S\",\"arguments\":[{}],\"streamIds\":[\"1\"]}\x1e{\"type\":6}\x1e",
		"{\"invocationId\":\"13\",\"item\":39,\"type\":2}\x1e", "{\"error\":\"e\",\"invocationId\":\"13\",\"type\":3}\x1e",
		"{\"type\":3,\"invocationId\":\"1\",\"result\":null}\x1e", "{\"type\":5,\"invocationId\":\"1\"}\x1e",
		"{\"type\":7,\"allowReconnect\":true}\x1e", "{\"type\":8,\"sequenceId\":3}\x1e", "{\"type\":9,\"sequenceId\":-1}\x1e",
		"\x1e\x1e", "{\"type\":4", "{\"TYPE\":4,\"type\":null}\x1e", "{\"type\":10}\x1e",
	} {
		f.Add([]byte(seed), 64)
	}
	p := hub.JSON()
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = max(0, limit)
		for {
			record, n, err := p.Cut(data, limit)
			if err != nil || n == 0 {
				return
			}
			require.LessOrEqual(t, len(record), limit)
			require.Greater(t, n, len(record))
			m, err := p.Parse(record)
			if err == nil && m != nil {
				again, err := p.Append(nil, m)
				require.NoError(t, err)
				back, n, err := p.Cut(again, len(again))
				require.NoError(t, err)
				require.Equal(t, len(again), n)
				m2, err := p.Parse(back)
				require.NoError(t, err)
				require.Equal(t, m, m2)
			}
			data = data[n:]
		}
	})
}

// Of two fields whose names differ only in case, an array is for the one with its exact name.
func TestArraysOfNamesThatDifferInCase(t *testing.T) {
	var v struct {
		Two   [2]int `json:"A"`
		Three [3]int `json:"a"`
	}
	require.Error(t, hub.JSON().Decode(hub.Raw(`{"A":[1,2,3]}`), &v))
	require.NoError(t, hub.JSON().Decode(hub.Raw(`{"a":[1,2,3]}`), &v))
	var w struct {
		Three [3]int `json:"a"`
		Two   [2]int `json:"A"`
	}
	require.NoError(t, hub.JSON().Decode(hub.Raw(`{"a":[1,2,3]}`), &w))
	require.Equal(t, [3]int{1, 2, 3}, w.Three)
}

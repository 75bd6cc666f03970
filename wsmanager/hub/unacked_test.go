package hub

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// The queue against a slice, and the work of a client that acknowledges each record alone.
func TestUnackedQueue(t *testing.T) {
	var q unackedQueue
	var model [][]byte
	moved := 0
	for i := range 10_000 {
		record := bytes.Repeat([]byte{byte(i)}, i%300)
		q.push(record)
		model = append(model, record)
		if i%3 == 0 || i > 9_000 {
			before := len(q.records)
			n := min(1+i%5, q.len())
			q.drop(n)
			model = model[n:]
			if len(q.records) < before {
				moved += len(q.records)
			}
		}
		size, total := 0, 0
		for _, r := range model {
			total += len(r)
			size += recordSize(len(r))
		}
		require.Equal(t, len(model), q.len())
		require.Equal(t, total, q.bytes)
		require.Equal(t, size, q.size)
		if len(model) > 0 {
			require.Equal(t, model[0], q.from(0)[0])
		}
	}
	require.Less(t, moved, 10_000, "each record moves once on average")
	q.drop(q.len())
	require.Equal(t, unackedQueue{}, q)
}

func TestJoinRecords(t *testing.T) {
	records := [][]byte{[]byte("aaaa"), []byte("bb"), []byte("c"), []byte("dddddddd")}
	var buf []byte
	for limit, want := range map[int]string{0: "aaaa", 4: "aaaa", 5: "aaaa", 6: "aaaabb", 7: "aaaabbc", 14: "aaaabbc", 15: "aaaabbcdddddddd", 99: "aaaabbcdddddddd"} {
		got, n := joinRecords(&buf, records, limit)
		require.Equal(t, want, string(got), limit)
		require.Equal(t, want, string(bytes.Join(records[:n], nil)), limit)
	}
}

package cutter

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var errTooBig = errors.New("too big")

// lines cuts records that end with a line feed, and counts the bytes that it searches.
type lines struct {
	limit    int
	searched int
}

func (l *lines) cut(data []byte, seen int) ([]byte, int, error) {
	l.searched += len(data) - seen
	i := bytes.IndexByte(data[seen:], '\n')
	switch {
	case i < 0 && len(data) > l.limit, i >= 0 && seen+i > l.limit:
		return nil, 0, errTooBig
	case i < 0:
		return nil, 0, nil
	}
	l.searched += seen + i + 1 - len(data) // only up to the end
	return data[:seen+i], seen + i + 1, nil
}

// read passes a stream in pieces, whose sizes next returns, and returns the records.
func read(t testing.TB, l *lines, stream string, next func() int) (records []string, err error) {
	t.Helper()
	var c Cutter
	for len(stream) > 0 {
		n := min(max(next(), 1), len(stream))
		piece := []byte(stream[:n])
		stream = stream[n:]
		c.Push(piece)
		for {
			record, ok, err := c.Next(l.cut)
			if err != nil {
				return records, err
			}
			if !ok {
				break
			}
			records = append(records, string(record))
		}
		c.Keep()
		for i := range piece { // the reader uses its buffer again
			piece[i] = '!'
		}
		if c.Held() > 4*(l.limit+n+16) {
			t.Fatalf("the Cutter holds %d bytes for records of at most %d in pieces of %d", c.Held(), l.limit, n)
		}
	}
	return records, nil
}

func TestRecordsInPieces(t *testing.T) {
	stream := "\n" + strings.Repeat("a\nbb\n\n"+strings.Repeat("c", 40)+"\n", 50)
	want := strings.Split(strings.TrimSuffix(stream, "\n"), "\n")
	for n := 1; n < 200; n++ {
		l := &lines{limit: 40}
		got, err := read(t, l, stream, func() int { return n })
		require.NoError(t, err)
		require.Equal(t, want, got, n)
		require.Equal(t, len(stream), l.searched, "each byte is searched once")
	}
	_, err := read(t, &lines{limit: 39}, stream, func() int { return 7 })
	require.ErrorIs(t, err, errTooBig)
}

// A record that arrives byte by byte allocates as often as a slice that grows, and its bytes are searched once.
func TestSinglesBytesAreLinear(t *testing.T) {
	const size = 1 << 20
	l := &lines{limit: size}
	var c Cutter
	piece := []byte("x")
	allocs := testing.AllocsPerRun(1, func() {
		for range size {
			c.Push(piece)
			_, ok, err := c.Next(l.cut)
			if ok || err != nil {
				t.Fatal(ok, err)
			}
			c.Keep()
		}
		c.Push([]byte("\n"))
		record, ok, err := c.Next(l.cut)
		if !ok || err != nil || len(record) != size {
			t.Fatal(ok, err, len(record))
		}
		c.Keep()
	})
	require.LessOrEqual(t, allocs, 80.0)
	require.Equal(t, 2*(size+1), l.searched) // AllocsPerRun runs twice
	require.Zero(t, c.Held())
}

func FuzzCutter(f *testing.F) {
	f.Add("a\nbb\n\nccc\nrest", []byte{1, 2, 3})
	f.Add("\n\n\n", []byte{9})
	f.Add(strings.Repeat("x", 100)+"\n", []byte{1})
	f.Fuzz(func(t *testing.T, stream string, sizes []byte) {
		i := 0
		next := func() int {
			if len(sizes) == 0 {
				return 1
			}
			i++
			return int(sizes[i%len(sizes)])
		}
		l := &lines{limit: 50}
		got, err := read(t, l, stream, next)
		var want []string
		rest := stream
		for {
			record, after, ok := strings.Cut(rest, "\n")
			if len(record) > 50 {
				require.ErrorIs(t, err, errTooBig)
				require.Equal(t, want, got)
				return
			}
			if !ok {
				break
			}
			want, rest = append(want, record), after
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.LessOrEqual(t, l.searched, len(stream))
	})
}

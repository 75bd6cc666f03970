//go:build !race

package handshake

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheckAllocations(t *testing.T) {
	rec, cfg := httptest.NewRecorder(), &ServerConfig{}
	r := request()
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := Check(rec, r, cfg); err != nil {
			t.Fatal(err)
		}
	})
	require.LessOrEqual(t, allocs, 1.0, "the decoded key")
}

func TestUpgradeAllocations(t *testing.T) {
	w := &writer{header: make(http.Header), conn: &conn{}}
	q := &Request{key: testKey}
	allocs := testing.AllocsPerRun(100, func() {
		clear(w.header)
		if _, _, err := q.Upgrade(w, &Answer{}, time.Second); err != nil {
			t.Fatal(err)
		}
	})
	require.LessOrEqual(t, allocs, 21.0, "4 of them are the writer's")
}

// A header of thousands of folded lines costs no more than its size.
func TestFoldedLinesAllocations(t *testing.T) {
	text := "A: b\n" + strings.Repeat(" a\n", 21_000) + "\n"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h, err := readHeader(bufio.NewReader(&headReader{r: strings.NewReader(text), left: maxHead}))
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, "b"+strings.Repeat(" a", 21_000), h.Get("A"))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}

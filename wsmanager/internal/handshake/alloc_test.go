//go:build !race

package handshake

import (
	"net/http"
	"net/http/httptest"
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

//go:build !race

package hub_test

import (
	"log/slog"
	"math/bits"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// An idle connection of a hub takes little more heap than its socket, before and after calls.
func TestMemoryOfIdleConnections(t *testing.T) {
	const conns = 400
	if bits.UintSize != 64 {
		t.Skip("the bounds are those of 64 bits")
	}
	// perConn returns the heap of a connection, with that of its client.
	perConn := func(dial func() *wstest.Client) int {
		opened := []*wstest.Client{dial()}
		before := liveHeap()
		for range conns {
			opened = append(opened, dial())
		}
		size := (liveHeap() - before) / conns
		for _, c := range opened {
			c.Kill()
		}
		return size
	}
	m := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	bare := serveHandler(t, m)
	for _, row := range []struct {
		name     string
		stateful bool
		calls    bool
		most     int // bytes in addition to the socket
	}{
		{"idle", false, false, 1300},
		{"after a call", false, true, 1300},
		{"stateful", true, false, 2100},
		{"stateful, after a call", true, true, 2300},
	} {
		h, url := serve(t, hub.Methods{"Echo": func(s string) string { return s }}, hub.Options{StatefulReconnect: row.stateful})
		size := 0
		for range 20 { // memory of other tests may be freed during a measurement
			socket := perConn(func() *wstest.Client { return wstest.Dial(t, bare, nil) })
			size = perConn(func() *wstest.Client {
				p := connectFor(t, url, row.stateful)
				if row.calls {
					p.result(`"a"`, "Echo", "a")
				}
				return p.Client
			}) - socket
			t.Logf("%s: %d bytes in addition to the %d of a socket and its client", row.name, size, socket)
			if size <= row.most {
				break
			}
		}
		require.LessOrEqual(t, size, row.most, row.name)
		require.NoError(t, h.Shutdown(testContext(t)))
	}
}

// liveHeap returns the bytes of the heap that are in use.
func liveHeap() int {
	var m runtime.MemStats
	runtime.GC() // twice: pools keep their objects for one collection
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// connectFor connects and completes the handshake.
func connectFor(t *testing.T, url string, stateful bool) *peer {
	if !stateful {
		return connect(t, url)
	}
	k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
	p := dial(t, url+"?id="+k.ConnectionToken)
	p.noAcks = true
	p.send(`{"protocol":"json","version":2}`)
	p.expect(`{}`)
	return p
}

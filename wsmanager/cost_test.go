package wsmanager_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// An idle connection has one goroutine: no goroutine of net/http, for pings or for writing.
func TestGoroutinesOfIdleConnections(t *testing.T) { onEachDriver(t, testGoroutinesOfIdleConnections) }

func testGoroutinesOfIdleConnections(t *testing.T) {
	needH1(t, "net/http has goroutines of its own, see TestCostOfIdleStreams")
	const n = 50
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	before := runtime.NumGoroutine()
	for range n {
		dialOver(t, url, nil)
	}
	m.Broadcast(wsmanager.Text("x"))
	awaitCondition(t, func() bool { return runtime.NumGoroutine() <= before+n })
}

// After Shutdown no goroutine and no descriptor of the Manager is left, in whatever state
// the connections were.
func TestShutdownLeavesNothing(t *testing.T) { onEachDriver(t, testShutdownLeavesNothing) }

func testShutdownLeavesNothing(t *testing.T) {
	needH1(t, "the connections are net/http's, and stay; see TestShutdownLeavesNoStreams")
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			if runtime.GOOS == "linux" {
				t.Fatal(err)
			}
			t.Skip("the system does not list open descriptors")
		}
		return len(entries)
	}
	opts := optionsWithoutLog()
	opts.Timeouts.Close = 50 * time.Millisecond
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	dialOver(t, url, nil).Kill() // initializes everything that is created once
	awaitCondition(t, func() bool { return m.All().Len() == 0 && m.Stats().Closed[1006] == 1 })
	goroutines, files := runtime.NumGoroutine(), descriptors()
	const n = 50
	for i := range n {
		c := dialOver(t, url, nil)
		switch i % 3 {
		case 0:
			c.SendRaw([]byte{0xff, 0xff}) // failed connections
		case 1:
			c.SendRaw([]byte{0x81}) // in the middle of a header
		}
	}
	for range 100 { // clients that don't read
		m.Broadcast(wsmanager.Binary(make([]byte, 60<<10)))
	}
	require.NoError(t, m.Shutdown(t.Context()))
	awaitCondition(t, func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors() <= files+n // the clients' own sockets
	})
}

// awaitCondition waits until f returns true. It uses no goroutine of its own.
func awaitCondition(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wstest.Patience); !f(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline))
	}
}

package wsmanager_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// resources counts the resources of this process that a driver may have created.
type resources struct {
	sockets    int // descriptors of sockets
	pollers    int // descriptors of epoll sets and eventfds, including those of the Go runtime
	goroutines int // goroutines of event loops
}

func countResources(t *testing.T) (h resources) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		link, err := os.Readlink("/proc/self/fd/" + e.Name())
		switch {
		case err != nil: // the descriptor of ReadDir itself
		case strings.HasPrefix(link, "socket:"):
			h.sockets++
		case strings.HasPrefix(link, "anon_inode:"):
			h.pollers++
		}
	}
	stacks := make([]byte, 4<<20)
	for stack := range bytes.SplitSeq(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
		if bytes.Contains(stack, []byte("/wsmanager/internal/evloop.")) {
			h.goroutines++
		}
	}
	return h
}

// settledResources waits until the resources of earlier tests are released. Their release
// can't be observed, so the counts must be stable for a while.
func settledResources(t *testing.T) (h resources) {
	t.Helper()
	same := 0
	require.Eventually(t, func() bool {
		last := h
		if h = countResources(t); h != last || h.goroutines > 0 {
			same = 0
		}
		same++
		return same > 15
	}, wstest.Patience, 20*time.Millisecond)
	return h
}

// A loop has one goroutine and three descriptors while it has connections. They are
// released with the last connection of the Manager and created again for the next one.
func TestLoopsExistOnlyWithConnections(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, eventLoopOptions(t), nil)
	before := settledResources(t)
	loops := max(1, runtime.GOMAXPROCS(0)/2)
	for round := range 3 {
		const n = 20
		var clients []*wstest.Client
		for range n {
			c := dialOver(t, url, nil)
			c.SendPing(nil)
			c.ExpectPong(nil)
			clients = append(clients, c)
		}
		full := resources{sockets: before.sockets + 2*n, pollers: before.pollers + 3*loops, goroutines: loops}
		require.Eventually(t, func() bool { return countResources(t) == full }, wstest.Patience, time.Millisecond, "round %d: %+v instead of %+v", round, countResources(t), full)
		for i, c := range clients {
			if i%2 == 0 {
				c.SendClose(1000, "")
				c.ExpectClose(1000)
				require.NoError(t, c.Conn().Close())
			} else {
				c.Kill()
			}
		}
		require.Eventually(t, func() bool { return countResources(t) == before }, wstest.Patience, time.Millisecond, "%+v before, %+v now", before, countResources(t))
	}
	require.NoError(t, m.Shutdown(t.Context()))
}

// After Shutdown the Manager has no descriptors.
func TestShutdownLeavesNoDescriptor(t *testing.T) { onEachDriver(t, testShutdownLeavesNoDescriptor) }

func testShutdownLeavesNoDescriptor(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(map[bool]string{false: "closed", true: "cut"}[cut], func(t *testing.T) {
			m, url := serve(t, wsmanager.Callbacks{}, eventLoopOptions(t), nil)
			before := settledResources(t)
			const n = 20
			var clients []*wstest.Client
			for range n {
				clients = append(clients, dialOver(t, url, nil))
			}
			if cut {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				require.ErrorContains(t, m.Shutdown(ctx), "connections were cut")
			} else {
				done := make(chan error)
				go func() { done <- m.Shutdown(t.Context()) }()
				for _, c := range clients {
					c.ExpectClose(1001)
				}
				require.NoError(t, <-done)
			}
			after := countResources(t)
			require.Equal(t, before.pollers, after.pollers)
			require.Equal(t, before.sockets+n, after.sockets, "the clients' sockets remain")
			require.Eventually(t, func() bool { return countResources(t).goroutines == 0 }, wstest.Patience, time.Millisecond)
		})
	}
}

// Idle connections have no goroutines, whatever their number.
func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { return nil },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, eventLoopOptions(t), nil)
	settledResources(t)
	before := runtime.NumGoroutine()
	const n = 200
	for range n {
		c := dialOver(t, url, nil)
		c.SendText("x")
		c.ExpectText("x")
	}
	require.Equal(t, n, m.All().Len())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() < before+20 }, wstest.Patience, time.Millisecond)
}

// Without free descriptors the event loop can't take a connection over. With DriverAuto a
// goroutine serves it; with DriverEventLoop it is counted in Refused.BrokenOff. The limit
// applies to a process, so each case runs in its own process, in which nothing else is
// about to close a descriptor.
func TestOutOfDescriptors(t *testing.T) {
	const env = "SPEAKINGTUBE_TEST_NOFILE"
	for _, tt := range []struct {
		name         string
		before, left int
	}{
		{"the connection's descriptor", 1, 2},
		{"the loop's first descriptor", 0, 3},
		{"the loop's second descriptor", 0, 4},
		{"the loop's third descriptor", 0, 5},
	} {
		for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine, wsmanager.DriverEventLoop} {
			t.Run(tt.name+"/"+d.String(), func(t *testing.T) {
				if os.Getenv(env) != "" {
					outOfDescriptors(t, d, tt.before, tt.left)
					return
				}
				only := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
				cmd := exec.Command(os.Args[0], "-test.run="+only, "-test.count=1", "-test.v")
				cmd.Env = append(os.Environ(), env+"=1")
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
				require.Contains(t, string(out), "--- PASS: "+t.Name(), "the subprocess ran the test")
			})
		}
	}
}

// outOfDescriptors connects a client when left descriptors are free. The two ends of the
// connection need two, the duplicate one, and the loop three, unless an earlier client has
// started the loop.
func outOfDescriptors(t *testing.T, d wsmanager.Driver, before, left int) {
	auto := d == wsmanager.DriverAuto
	opts, log := logged()
	opts.Driver = d
	j := newJournal()
	m := wsmanager.MustNew(recordingCallbacks(j), opts)
	srv := httptest.NewServer(m)
	defer srv.Close()
	defer func() { require.NoError(t, m.Shutdown(t.Context())) }()
	for range before {
		c := dialOver(t, srv.URL, nil)
		defer c.Kill()
		c.SendText("x")
		c.ExpectText("x")
	}
	had := countResources(t)
	restore := limitDescriptors(t, left)
	defer restore()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	c := wstest.HandshakeOn(t, conn, wstest.Request(t, srv.URL), nil)
	require.Equal(t, 101, c.Response.StatusCode)
	if d == wsmanager.DriverEventLoop {
		c.ExpectEOF()
		require.Contains(t, log.record(t, 0)["err"], "too many open files")
		require.Eventually(t, func() bool { return m.Stats().Refused == wsmanager.Refused{BrokenOff: 1} }, wstest.Patience, time.Millisecond)
		restore()
		had.sockets++ // the client's socket
		requireDescriptors(t, had)
		return
	}
	c.SendText("hello")
	c.ExpectText("hello")
	for conn := range m.All().Local() {
		if conn.RemoteAddr().String() == c.Conn().LocalAddr().String() {
			require.False(t, wsmanager.InLoop(conn))
		}
	}
	restore()
	had.sockets += 2
	if auto {
		requireDescriptors(t, had)
	}
	// With free descriptors a loop is created again.
	other := dialOver(t, srv.URL, nil)
	defer other.Kill()
	other.SendText("x")
	other.ExpectText("x")
	for conn := range m.All().Local() {
		if conn.RemoteAddr().String() == other.Conn().LocalAddr().String() {
			require.Equal(t, auto, wsmanager.InLoop(conn))
		}
	}
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	require.Zero(t, m.Stats().Refused)
}

// requireDescriptors checks that the failed attempt has released everything. Goroutines may
// still be ending.
func requireDescriptors(t *testing.T, want resources) {
	t.Helper()
	got := countResources(t)
	got.goroutines = want.goroutines
	require.Equal(t, want, got)
}

// limitDescriptors allows n more descriptors until restore is called.
func limitDescriptors(t *testing.T, n int) (restore func()) {
	t.Helper()
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	var fill []int
	// The system assigns the lowest free number. Fill all gaps up to one above the highest
	// open descriptor.
	top := 0
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		require.NoError(t, err)
		top = max(top, fd)
	}
	for fd := -1; fd < top+n; {
		fd, err = syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		require.NoError(t, err)
		fill = append(fill, fd)
	}
	for range n {
		require.NoError(t, syscall.Close(fill[len(fill)-1]))
		fill = fill[:len(fill)-1]
	}
	limit := was
	limit.Cur = uint64(top + n + 1)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	restored := false
	return func() {
		if restored {
			return
		}
		restored = true
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			panic(fmt.Sprint("the limit of descriptors: ", err))
		}
		for _, f := range fill {
			_ = syscall.Close(f) // the descriptor was a placeholder
		}
	}
}

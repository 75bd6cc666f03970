package wsmanager_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A server restarts again and again while a client sends all the time, over real sockets
// and with all drivers. No message arrives twice or out of order. All messages that were
// sent between two connections arrive, and so do the last ones.
func TestClientThroughRestarts(t *testing.T) { onSocketDrivers(t, testClientThroughRestarts) }

func testClientThroughRestarts(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine, wsmanager.DriverEventLoop} {
			if scheme == "wss" && driver == wsmanager.DriverEventLoop {
				continue // the event loop does not support TLS
			}
			t.Run(scheme+" "+driver.String(), func(t *testing.T) { throughRestarts(t, scheme, driver) })
		}
	}
}

func throughRestarts(t *testing.T, scheme string, driver wsmanager.Driver) {
	var mu sync.Mutex
	var got []int
	last := make(chan struct{})
	newServer := func() *wsmanager.Manager {
		return wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
				number, _, _ := strings.Cut(string(m.Payload), " ")
				n, err := strconv.Atoi(number)
				if err != nil {
					close(last)
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, n)
				return nil
			},
		}, onDriver(t, optionsWithoutLog()))
	}
	var m atomic.Pointer[wsmanager.Manager]
	m.Store(newServer())
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.Load().ServeHTTP(w, r) }))
	opts := clientOptions(dialOptionsWithoutLog(), wsmanager.Reconnect{MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond})
	opts.Driver = driver
	opts.Outbox.Messages, opts.Outbox.Bytes = 5000, 16<<20 // SendContext must not block while the server is down
	if scheme == "wss" {
		srv.StartTLS()
		opts.Network.TLS = srv.Client().Transport.(*http.Transport).TLSClientConfig
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		shutdown(t, m.Load())
		srv.Close()
	})
	connected := make(chan struct{}, 100)
	var cl *wsmanager.Client
	lost := make(chan struct{}, 100)
	cl, err := newClientAs(t, srv.URL, wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { connected <- struct{}{}; return nil },
		OnClose:   func(*wsmanager.Conn, error) { lost <- struct{}{} },
	}, opts)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- cl.Run(t.Context()) }()

	receive(t, connected)
	sent := 0
	send := func(n int) (first int) {
		first = sent
		for range n {
			text := fmt.Sprintf("%d %s", sent, strings.Repeat("x", sent*37%3000))
			require.NoError(t, cl.SendContext(t.Context(), wsmanager.Text(text)))
			sent++
		}
		return first
	}
	var certain []int // numbers of messages that were sent without a connection
	for range 5 {
		// The server discards some of these messages: it closes before it has read them.
		send(300)
		old := m.Load()
		require.NoError(t, old.Shutdown(t.Context()))
		receive(t, lost)
		first := send(50)
		for i := range 50 {
			certain = append(certain, first+i)
		}
		m.Store(newServer())
		receive(t, connected)
		require.Eventually(t, func() bool { // the server has read the messages, so it can't discard them
			mu.Lock()
			defer mu.Unlock()
			return len(got) > 0 && got[len(got)-1] == sent-1
		}, wstest.Patience, time.Millisecond)
	}
	send(100)
	require.NoError(t, cl.SendPrepared(wsmanager.Prepare(wsmanager.Text("last"))))
	require.NoError(t, cl.Flush(t.Context()))
	receive(t, last)
	require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
	require.NoError(t, receive(t, done))

	mu.Lock()
	defer mu.Unlock()
	arrived := make(map[int]bool, len(got))
	for i, n := range got {
		require.True(t, i == 0 || n > got[i-1], "%d after %d", n, got[max(0, i-1)])
		arrived[n] = true
	}
	for _, n := range certain {
		require.True(t, arrived[n], "%d was sent without a connection and is lost", n)
	}
}

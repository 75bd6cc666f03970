package wsmanager_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// overTLS serves m over TLS and connects one client.
func overTLS(t *testing.T, m *wsmanager.Manager) *wstest.Client {
	t.Helper()
	srv := httptest.NewUnstartedServer(m)
	srv.StartTLS()
	t.Cleanup(func() {
		shutdown(t, m)
		srv.Close()
	})
	return upgradeTLS(t, srv, nil, nil)
}

// upgradeTLS connects a client to a TLS server.
func upgradeTLS(t *testing.T, srv *httptest.Server, header http.Header, early []byte) *wstest.Client {
	t.Helper()
	pool := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com"})
	require.NoError(t, err)
	req := wstest.Request(t, srv.URL)
	for name, values := range header {
		req.Header[name] = values
	}
	c := wstest.HandshakeOn(t, conn, req, early)
	require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
	return c
}

// Over TLS every message is queued in the outbox. A burst must not close a peer that reads as
// fast as it can, not even with one processor.
func TestBurstOverTLS(t *testing.T) { onSocketDrivers(t, testBurstOverTLS) }

func testBurstOverTLS(t *testing.T) {
	for _, procs := range []int{1, runtime.GOMAXPROCS(0)} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			const burst, size = 3000, 300 // 12 times the outbox's message limit, below its byte limit
			m := wsmanager.MustNew(wsmanager.Callbacks{
				OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
					for i := range burst {
						if err := c.Send(wsmanager.Text(fmt.Sprintf("%0*d", size, i))); err != nil {
							return fmt.Errorf("message %d: %w", i, err)
						}
					}
					return nil
				},
			}, onDriver(t, optionsWithoutLog()))
			c := overTLS(t, m)
			c.SendText("go")
			for i := range burst {
				c.ExpectText(fmt.Sprintf("%0*d", size, i))
			}
			require.Zero(t, m.Stats().Dropped)
		})
	}
}

// A client that reads nothing is closed by the policy, within the limits of the outbox.
func TestSlowConsumerOverTLS(t *testing.T) { onSocketDrivers(t, testSlowConsumerOverTLS) }

func testSlowConsumerOverTLS(t *testing.T) {
	j := newJournal()
	opts := optionsWithoutLog()
	opts.Outbox.Messages = 4
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
	}, onDriver(t, opts))
	overTLS(t, m)
	conn := onlyConn(t, m)
	var err error
	for err == nil {
		err = conn.Send(wsmanager.Binary(make([]byte, 10_000)))
	}
	require.ErrorIs(t, err, wsmanager.ErrOutboxFull)
	require.Equal(t, []string{"wsmanager: closed here with 1013: the peer reads too slowly"}, j.await(t, 1))
}

// Messages of all sizes are read correctly with the small buffer of an idle connection and
// with the big one.
func TestReadsOverTLS(t *testing.T) { onSocketDrivers(t, testReadsOverTLS) }

func testReadsOverTLS(t *testing.T) {
	c := overTLS(t, wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, onDriver(t, optionsWithoutLog())))
	for _, size := range []int{0, 1, 1015, 1016, 1017, 2040, 16 << 10, 64 << 10} {
		for range 3 {
			c.SendText(repeat("x", size))
			c.ExpectText(repeat("x", size))
		}
	}
}

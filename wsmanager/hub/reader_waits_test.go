package hub_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// The tests of hostile clients use no kernel. A client that leaves while its reader waits ends its connection also over TCP, with FIN
// and with RST, on both drivers, behind items and behind calls, stateful or not.
func TestConnectionEndsWhileItsReaderWaits(t *testing.T) {
	onEachDriver(t, testConnectionEndsWhileItsReaderWaits)
}

func testConnectionEndsWhileItsReaderWaits(t *testing.T) {
	upload := `{"type":1,"invocationId":"u","target":"Upload","arguments":[],"streamIds":["1"]}`
	for name, records := range map[string][]string{
		"items": append([]string{upload}, times(14, `{"type":2,"invocationId":"1","item":"x"}`)...),
		"calls": times(30, `{"type":1,"target":"Wait","arguments":[]}`),
	} {
		for _, stateful := range []bool{false, true} {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/stateful %v/reset %v", name, stateful, reset), func(t *testing.T) {
					t.Parallel()
					ended := make(chan error, 2)
					h, url := serve(t, hostileMethods(), hub.Options{
						StatefulReconnect: true, ResumeWindow: 50 * time.Millisecond, MaxPendingCalls: 10,
						Disconnected: func(_ *hub.Context, err error) { ended <- err },
					})
					var p *peer
					if stateful {
						k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
						p = dial(t, url+"?id="+k.ConnectionToken)
						p.send(`{"protocol":"json","version":2}`)
						p.expect(`{}`)
					} else {
						p = connect(t, url)
					}
					p.send(records...)
					p.send(`{"type":6}`)
					if tcp, ok := p.Conn().(*net.TCPConn); ok && reset {
						require.NoError(t, tcp.SetLinger(0))
					}
					require.NoError(t, p.Conn().Close())
					require.Error(t, awaitValue(t, ended))
					require.Zero(t, h.Len())
					require.Empty(t, ended)
				})
			}
		}
	}
}

func times(n int, record string) (records []string) {
	for range n {
		records = append(records, record)
	}
	return records
}

// A client in Go ends its connection when the server disappears while a handler waits and further calls of the server wait
// for it.
func TestConnectionOfClientEndsWhileItsReaderWaits(t *testing.T) {
	onEachDriver(t, testConnectionOfClientEndsWhileItsReaderWaits)
}

func testConnectionOfClientEndsWhileItsReaderWaits(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateful %v", stateful), func(t *testing.T) {
			h, url := serve(t, testMethods(nil), hub.Options{StatefulReconnect: stateful})
			var line cable
			began, release := make(chan bool, 100), make(chan bool)
			reconnecting := make(chan error, 1)
			c := client(t, url, hub.DialOptions{
				StreamBuffer: 2, StatefulReconnect: stateful, ReconnectDelays: []time.Duration{time.Hour},
				WebSocket:      wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}},
				Handlers:       hub.Methods{"wait": func() { began <- true; <-release }},
				OnReconnecting: func(err error) { reconnecting <- err },
			})
			require.NoError(t, c.Call(testContext(t), "Void")) // broadcasts reach the client
			for range 20 {
				require.NoError(t, h.Clients().All().Send("wait"))
			}
			awaitValue(t, began)
			line.kill(true)
			line.cut()
			require.Error(t, awaitValue(t, reconnecting))
			require.False(t, c.Connected())
			close(release)
			end(t, c)
		})
	}
}

//go:build !race

package wsmanager_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Sending and receiving on a client does not allocate while the peer keeps up: through the
// connection or its Client, compressed or not. These messages need no code tables, which
// compress/flate would allocate.
func TestClientEchoDoesNotAllocate(t *testing.T) { onSocketDrivers(t, testClientEchoDoesNotAllocate) }

func testClientEchoDoesNotAllocate(t *testing.T) {
	for name, opts := range map[string]wsmanager.Options{"plain": optionsWithoutLog(), "compressed": compressing()} {
		t.Run(name, func(t *testing.T) {
			server, url := serve(t, echoing, compressing(), nil)
			echoed := make(chan struct{}, 1)
			ready := make(chan *wsmanager.Conn, 1)
			cl, err := newClientAs(t, url, wsmanager.Callbacks{
				OnConnect: func(c *wsmanager.Conn) error { ready <- c; return nil },
				OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { echoed <- struct{}{}; return nil },
			}, clientOptions(dialOptions(opts), wsmanager.Reconnect{}))
			require.NoError(t, err)
			done := make(chan error)
			go func() { done <- cl.Run(context.Background()) }()
			c := receive(t, ready)
			text := wsmanager.Text(repeat("x", 1000))
			p := wsmanager.Prepare(text)
			for name, send := range map[string]func() error{
				"Client.Send":         func() error { return cl.Send(text) },
				"Client.SendContext":  func() error { return cl.SendContext(t.Context(), text) },
				"Client.SendPrepared": func() error { return cl.SendPrepared(p) },
				"Conn.Send":           func() error { return c.Send(text) },
				"Conn.SendPrepared":   func() error { return c.SendPrepared(p) },
			} {
				echo := func() {
					if err := send(); err != nil {
						panic(err)
					}
					<-echoed
				}
				echo()
				require.Zero(t, leastAllocs(500, echo), name)
			}
			require.Equal(t, name == "compressed", server.Stats().Compressed.In > 0)
			require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
			require.NoError(t, receive(t, done))
		})
	}
}

package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// channel is a connection that is tunnelled through another one, for example through SSH:
// it has no deadlines, and possibly no address.
type channel struct{ net.Conn }

var errNoDeadlines = errors.New("deadlines are not supported")

func (channel) SetDeadline(time.Time) error      { return errNoDeadlines }
func (channel) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (channel) SetWriteDeadline(time.Time) error { return errNoDeadlines }
func (channel) RemoteAddr() net.Addr             { return nil }

// If a server is silent, Dial returns after Timeouts.Handshake or at the end of the
// context, whatever connection Network.Dial has returned.
func TestDialTimeoutWithoutDeadlines(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		for _, through := range []string{"", "http", "https"} {
			t.Run(fmt.Sprintf("%s through %q", scheme, through), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := newMemory()
					opts := network.dialOptions()
					dial := opts.Network.Dial
					opts.Network.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
						c, err := dial(ctx, network, addr)
						return channel{c}, err
					}
					if through != "" {
						opts.Network.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(through + "://proxy.example") }
					}
					begin := time.Now()
					_, err := wsmanager.Dial(t.Context(), scheme+"://example.com", wsmanager.Callbacks{}, opts)
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					require.Equal(t, 10*time.Second, time.Since(begin))

					ctx, cancel := context.WithCancelCause(t.Context())
					enough := errors.New("enough")
					time.AfterFunc(time.Second, func() { cancel(enough) })
					_, err = wsmanager.Dial(ctx, scheme+"://example.com", wsmanager.Callbacks{}, opts)
					require.ErrorIs(t, err, enough)
				})
			})
		}
	}
}

// net.Conn documents RemoteAddr as the address "if known".
func TestDialWithoutAnAddress(t *testing.T) { onSocketDrivers(t, testDialWithoutAnAddress) }

func testDialWithoutAnAddress(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) }}, optionsWithoutLog(), nil)
	got := make(chan string, 1)
	opts := dialOptionsWithoutLog()
	opts.Network.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return channel{c}, err
	}
	c := connect(t, url, wsmanager.Callbacks{OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
		got <- string(m.Payload)
		return nil
	}}, opts)
	require.NoError(t, c.Send(wsmanager.Text("hello")))
	require.Equal(t, "hello", receive(t, got))
	require.Equal(t, "", c.RemoteAddr().String())
}

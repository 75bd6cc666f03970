package msgpack_test

import (
	"context"
	"iter"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func client(t *testing.T, url string, opts hub.DialOptions) *hub.Connection {
	t.Helper()
	if opts.Protocol == nil {
		opts.Protocol = protocol
	}
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
	defer cancel()
	c, err := hub.Dial(ctx, url, opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		awaitValue(t, c.Done())
	})
	return c
}

// awaitValue waits for a value or the end of a channel.
func awaitValue[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(wstest.Patience):
		t.Fatal("nothing came")
	}
	return v
}

type order struct {
	Dish  string    `json:"dish"`
	Count uint8     `json:"count"`
	Photo []byte    `json:"photo"`
	At    time.Time `json:"at"`
}

// A client gets the same results in both protocols.
func TestClientsOfBothProtocols(t *testing.T) {
	for _, p := range []hub.Protocol{hub.JSON(), protocol} {
		for _, stateful := range []bool{false, true} {
			t.Run(p.Name(), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
				defer cancel()
				_, url := serve(t, hub.Methods{
					"Add":     func(a, b int) int { return a + b },
					"Twice":   func(o order) order { o.Count *= 2; return o },
					"Fail":    func() error { return hub.Error("boom") },
					"Void":    func() {},
					"Sum":     sum,
					"Counter": counter,
					"AskClient": func(ctx *hub.Context, a, b int) (int, error) {
						return hub.Invoke[int](ctx, ctx.Clients().Caller(), "clientAdd", a, b)
					},
					"Tell": func(ctx *hub.Context, o order) error { return ctx.Clients().All().Send("ordered", o) },
				}, hub.Options{StatefulReconnect: stateful})
				ordered := make(chan order, 1)
				c := client(t, url, hub.DialOptions{
					Protocol: p, StatefulReconnect: true,
					Handlers: hub.Methods{
						"clientAdd": func(a, b int) int { return a + b },
						"ordered":   func(o order) { ordered <- o },
					},
				})
				n, err := hub.Invoke[int](ctx, c, "Add", 40, 2)
				require.NoError(t, err)
				require.Equal(t, 42, n)
				soup := order{"soup", 3, []byte{0, 0x1e, 255}, time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
				two, err := hub.Invoke[order](ctx, c, "Twice", soup)
				require.NoError(t, err)
				require.True(t, soup.At.Equal(two.At))
				two.At = soup.At
				require.Equal(t, order{"soup", 6, soup.Photo, soup.At}, two)
				require.ErrorContains(t, c.Call(ctx, "Fail"), "boom")
				require.NoError(t, c.Call(ctx, "Void"))
				_, err = hub.Invoke[order](ctx, c, "Twice", map[string]any{"count": 300})
				require.ErrorContains(t, err, "Argument 1 is of the wrong type.")

				var items []int
				for n, err := range hub.Stream[int](ctx, c, "Counter", 100, 0) {
					require.NoError(t, err)
					items = append(items, n)
				}
				require.Len(t, items, 100)
				n, err = hub.Invoke[int](ctx, c, "Sum", iter.Seq[int](func(yield func(int) bool) {
					for i := range 3000 {
						if !yield(i) {
							return
						}
					}
				}))
				require.NoError(t, err)
				require.Equal(t, 2999*3000/2, n)
				n, err = hub.Invoke[int](ctx, c, "AskClient", 5, 6)
				require.NoError(t, err)
				require.Equal(t, 11, n)
				require.NoError(t, c.Send(ctx, "Tell", soup))
				got := awaitValue(t, ordered)
				require.Equal(t, soup.Photo, got.Photo)
				require.True(t, soup.At.Equal(got.At))
			})
		}
	}
}

// A connection that broke is resumed without loss.
func TestClientResumes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
	defer cancel()
	_, url := serve(t, hub.Methods{"Add": func(a, b int) int { return a + b }, "Sum": sum}, hub.Options{StatefulReconnect: true})
	var mu sync.Mutex
	var line net.Conn
	c := client(t, url, hub.DialOptions{
		StatefulReconnect: true,
		WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			var err error
			line, err = (&net.Dialer{}).DialContext(ctx, network, addr)
			return line, err
		}}},
		OnReconnecting: func(err error) { t.Errorf("the connection was not resumed: %v", err) },
	})
	items, total := make(chan int), make(chan int, 1)
	go func() {
		n, err := hub.Invoke[int](ctx, c, "Sum", items)
		if err != nil {
			t.Error(err)
		}
		total <- n
	}()
	for i := range 200 {
		if i%50 == 25 {
			mu.Lock()
			_ = line.Close() // the socket ends without a close frame
			mu.Unlock()
		}
		select {
		case items <- i:
		case <-ctx.Done():
			t.Fatal("the stream does not end")
		}
		n, err := hub.Invoke[int](ctx, c, "Add", i, 1)
		require.NoError(t, err)
		require.Equal(t, i+1, n)
	}
	close(items)
	require.Equal(t, 199*200/2, awaitValue(t, total))
}

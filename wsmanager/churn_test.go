package wsmanager_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Connections come and go in every way, from both sides, while broadcasts run:
// every OnConnect has its OnClose, and nothing is left.
func TestChurn(t *testing.T) {
	var connects, closes, messages atomic.Int64
	opts := quiet()
	opts.OutboxMessages = 20
	opts.CloseTimeout = 200 * time.Millisecond
	m, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			connects.Add(1)
			if rand.IntN(20) == 0 {
				return fmt.Errorf("not this one")
			}
			return c.Send(wsmanager.Text("welcome"))
		},
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			messages.Add(1)
			switch rand.IntN(30) {
			case 0:
				return c.Close(4000, "bye")
			case 1:
				panic("oops")
			case 2:
				c.Manager().Broadcast(msg)
			}
			_ = c.Send(msg) // it may be closing
			return nil
		},
		OnClose: func(c *wsmanager.Conn, _ error) {
			if c.Context().Err() == nil {
				t.Error("the context is not done")
			}
			closes.Add(1)
		},
	}, opts, nil)

	stop := make(chan struct{})
	var noise sync.WaitGroup
	for range 2 {
		noise.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				m.Broadcast(wsmanager.Text(repeat("n", rand.IntN(3000))))
				for c := range m.All() {
					if rand.IntN(200) == 0 {
						_ = c.Close(1000, "") // nil, as the arguments are good
					}
				}
				time.Sleep(time.Millisecond) // leave some of the two cores to the others
			}
		})
	}

	const clients, each = 6, 40
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				churnOne(t, url)
			}
		})
	}
	wg.Wait()
	close(stop)
	noise.Wait()
	require.NoError(t, m.Shutdown(t.Context()))
	require.EqualValues(t, clients*each, connects.Load())
	require.Equal(t, connects.Load(), closes.Load())
	require.Zero(t, m.Len())
	require.Positive(t, messages.Load())
}

// churnOne is one connection with some messages and an end by chance. Whatever it
// reads must be whole frames.
func churnOne(t *testing.T, url string) {
	req := wstest.Request(t, url)
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	c := wstest.HandshakeOn(t, conn, req, nil)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		if rand.IntN(5) == 0 {
			return // never reads
		}
		for {
			f, err := c.ReadFrame()
			if err != nil {
				return
			}
			if f.Header.OpCode == ws.OpClose {
				_, _ = conn.Write(wstest.Frame(ws.OpClose, true, f.Payload)) // the server may be gone
				_, _ = io.Copy(io.Discard, conn)
				return
			}
		}
	}()
	for range rand.IntN(20) {
		if _, err := conn.Write(wstest.Frame(ws.OpText, true, []byte(repeat("x", rand.IntN(2000))))); err != nil {
			break
		}
	}
	switch rand.IntN(5) {
	case 0:
		_, _ = conn.Write(wstest.Frame(ws.OpClose, true, nil))
		<-reading
	case 1:
		c.Kill()
	case 2:
		_, _ = conn.Write([]byte{0xff, 0xff})
		<-reading
	case 3:
		_, _ = conn.Write([]byte{0x81}) // half a header
	case 4:
		_, _ = conn.Write(wstest.Frame(ws.OpText, false, []byte("half a message")))
	}
	_ = conn.Close()
	<-reading
}

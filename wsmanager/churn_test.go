package wsmanager_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// ledger is what those who send were told about their messages.
type ledger struct{ queued, full atomic.Int64 }

func (l *ledger) send(err error) {
	switch {
	case err == nil:
		l.queued.Add(1)
	case errors.Is(err, wsmanager.ErrOutboxFull):
		l.full.Add(1)
	case !errors.Is(err, wsmanager.ErrClosed) && !errors.Is(err, context.DeadlineExceeded):
		panic(err)
	}
}

func (l *ledger) sent(s wsmanager.Sent) {
	l.queued.Add(int64(s.Queued))
	l.full.Add(int64(s.Dropped))
}

// Connections come and go in every way, from both sides, and join and leave
// groups, while broadcasts of all kinds run: every OnConnect has its OnClose,
// every message is delivered or counted as dropped, and nothing is left.
func TestChurn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		outbox int
		listen func(net.Listener) net.Listener
	}{
		{"plain sockets", 20, func(ln net.Listener) net.Listener { return smallBuffers{ln} }},
		{"wrapped sockets", 1, func(ln net.Listener) net.Listener { return plainListener{smallBuffers{ln}} }}, // 16 in a burst
	} {
		t.Run(tt.name, func(t *testing.T) { churn(t, tt.outbox, tt.listen) })
	}
}

// smallBuffers makes a peer that does not read felt soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func churn(t *testing.T, outbox int, listen func(net.Listener) net.Listener) {
	var connects, closes, messages atomic.Int64
	var book ledger
	opts := quiet()
	opts.OutboxMessages = outbox
	opts.CloseTimeout = 200 * time.Millisecond
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{
				User:         fmt.Sprint("u", rand.IntN(3)),
				Groups:       []string{fmt.Sprint("g", rand.IntN(4))},
				SlowConsumer: wsmanager.SlowConsumer(rand.IntN(4)),
				Variant:      wsmanager.Variant(rand.IntN(3)),
				Deferred:     rand.IntN(4) == 0,
			}, nil
		},
		OnConnect: func(c *wsmanager.Conn) error {
			connects.Add(1)
			if rand.IntN(20) == 0 {
				return fmt.Errorf("not this one")
			}
			if _, ready := c.Variant(); !ready {
				if err := c.Ready(1); err != nil && !errors.Is(err, wsmanager.ErrClosed) {
					t.Error(err)
				}
			}
			err := c.Send(wsmanager.Text("welcome"))
			book.send(err)
			return err
		},
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			messages.Add(1)
			switch group := fmt.Sprint("g", rand.IntN(4)); rand.IntN(30) {
			case 0:
				return c.Close(4000, "bye")
			case 1:
				panic("oops")
			case 2:
				book.sent(c.Manager().BroadcastExcept(msg, c.ID()))
			case 3, 4, 5:
				if err := c.Join(group); err != nil && !errors.Is(err, wsmanager.ErrClosed) {
					t.Error(err)
				}
			case 6, 7, 8:
				c.Leave(group)
			case 9, 10:
				book.sent(c.Manager().Group(group).Broadcast(msg))
			case 11:
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
				defer cancel()
				book.send(c.SendContext(ctx, msg))
			}
			book.send(c.Send(msg))
			return nil
		},
		OnClose: func(c *wsmanager.Conn, _ error) {
			if c.Context().Err() == nil || len(c.Groups()) > 0 {
				t.Error("the connection is still there")
			}
			closes.Add(1)
		},
	}, opts)
	srv := httptest.NewUnstartedServer(m)
	srv.Listener = listen(srv.Listener)
	srv.Start()
	defer srv.Close()
	url := srv.URL

	stop := make(chan struct{})
	var noise sync.WaitGroup
	for id := range 3 {
		noise.Go(func() {
			for seq := 0; ; seq++ {
				select {
				case <-stop:
					return
				default:
				}
				book.sent(noisy(m, id, seq))
				for c := range m.All() {
					if rand.IntN(200) == 0 {
						_ = c.Close(1000, "") // nil, as the arguments are good
					}
				}
				time.Sleep(time.Millisecond) // leave some of the two cores to the others
			}
		})
	}

	const clients, each = 8, 40
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

	s := m.Stats()
	require.EqualValues(t, clients*each, s.Accepted)
	// A broadcast that was held back counts as queued, and may find the outbox full.
	require.EqualValues(t, book.queued.Load()+book.full.Load(), s.MessagesOut+s.Dropped.Oldest+s.Dropped.Closed+s.Dropped.OutboxFull)
	require.LessOrEqual(t, uint64(book.full.Load()), s.Dropped.OutboxFull)
	require.GreaterOrEqual(t, s.MessagesIn, uint64(messages.Load()))
	ended := uint64(0)
	for _, n := range s.Closed {
		ended += n
	}
	require.Equal(t, s.Accepted, ended)
	require.Zero(t, s.Groups)
	require.Zero(t, s.Users)
	t.Logf("%+v", s)
}

// noisy is one broadcast of some kind. What a receiver gets of one id's, it gets
// once and in order.
func noisy(m *wsmanager.Manager, id, seq int) wsmanager.Sent {
	text := fmt.Sprintf("noise %d %d %s", id, seq, repeat("n", rand.IntN(3000)))
	msg, g := wsmanager.Text(text), m.Group(fmt.Sprint("g", rand.IntN(4)))
	choice := func(c *wsmanager.Conn) bool { return c.ID() < "M" }
	switch rand.IntN(8) {
	case 0:
		return g.Broadcast(msg)
	case 1:
		return g.BroadcastFunc(msg, choice)
	case 2:
		for c := range g.Members() {
			return g.BroadcastExcept(msg, c.ID())
		}
		return wsmanager.Sent{}
	case 3:
		return m.SendUser(fmt.Sprint("u", rand.IntN(3)), msg)
	case 4:
		return m.BroadcastFunc(msg, choice)
	case 5:
		return m.BroadcastPrepared(wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
			return wsmanager.Message{Type: wsmanager.TextMessage + wsmanager.MessageType(v)%2, Payload: msg.Payload}, nil
		}))
	default:
		return m.Broadcast(msg)
	}
}

// churnOne is one connection with some messages and an end by chance. Whatever it
// reads must be whole frames, and noise in its order.
func churnOne(t *testing.T, url string) {
	req := wstest.Request(t, url)
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10) // as good as it gets
	c := wstest.HandshakeOn(t, conn, req, nil)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		switch rand.IntN(5) {
		case 0:
			return // never reads
		case 1:
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // is slow
		}
		last := [3]int{-1, -1, -1}
		for {
			f, err := c.ReadFrame()
			if err != nil {
				return
			}
			var id, seq int
			if n, _ := fmt.Fscanf(bytes.NewReader(f.Payload), "noise %d %d ", &id, &seq); n == 2 && !f.Header.OpCode.IsControl() {
				if seq <= last[id] {
					t.Errorf("noise %d %d came after %d", id, seq, last[id])
				}
				last[id] = seq
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
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // is there for a while
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

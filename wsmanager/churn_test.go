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
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// ledger counts the results that senders got for their messages.
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

// Connections begin and end in every way, from both sides, and join and leave groups, while
// broadcasts of all kinds run. Every OnConnect is followed by an OnClose. Every message is
// delivered or counted as dropped. No connection is left at the end.
//
// Every message that a send has accepted is written or counted as dropped. If every client
// reads to the end ("calm"), the clients have read as many messages as were written;
// otherwise not more. A connection whose policy is to close misses no message between the
// first and the last that it gets. The gaps of other connections do not exceed the counted
// drops.
//
// SPEAKINGTUBE_CHURN=60s makes each run take a minute.
func TestChurn(t *testing.T) { onSocketDriversAtOnce(t, testChurn) }

func testChurn(t *testing.T) {
	plain := func(ln net.Listener) net.Listener { return smallBuffers{ln} }
	wrapped := func(ln net.Listener) net.Listener { return plainListener{smallBuffers{ln}} }
	for _, tt := range []struct {
		name string
		run  *churn
	}{
		{"plain sockets", &churn{outbox: 20, listen: plain}},
		{"plain sockets, calm", &churn{outbox: 20, listen: plain, calm: true}},
		{"wrapped sockets", &churn{outbox: 1, listen: wrapped}}, // an outbox of 1 has room for 16 messages in a burst
		{"wrapped sockets, calm", &churn{outbox: 1, listen: wrapped, calm: true}},
	} {
		t.Run(tt.name, tt.run.test)
	}
}

// churn is one run of TestChurn.
type churn struct {
	outbox int
	listen func(net.Listener) net.Listener
	calm   bool // clients read to the end, some of them slowly

	book     ledger
	dials    atomic.Int64
	received atomic.Int64 // messages that all clients have received
	gaps     atomic.Int64 // broadcasts to all that a client missed between two that it received
}

// churnTime returns how long a run takes, or 0 for a fixed number of connections.
func churnTime(t *testing.T) time.Duration {
	t.Helper()
	s := os.Getenv("SPEAKINGTUBE_CHURN")
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	require.NoError(t, err, "SPEAKINGTUBE_CHURN")
	return d
}

// smallBuffers limits the send buffers, so that writes to a peer that does not read block
// soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func (run *churn) test(t *testing.T) {
	var connects, closes, messages atomic.Int64
	book := &run.book
	opts := optionsWithoutLog()
	opts.Outbox.Messages = run.outbox
	opts.Timeouts.Close = 200 * time.Millisecond
	if run.calm {
		opts.Timeouts.Close = wstest.Patience
	}
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			policy := wsmanager.SlowConsumer(1 + rand.IntN(3))
			return wsmanager.Accept{
				User:         fmt.Sprint("u", rand.IntN(3)),
				Groups:       []string{fmt.Sprint("g", rand.IntN(4))},
				SlowConsumer: policy,
				Header:       http.Header{"X-Policy": {policy.String()}},
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
				book.sent(c.Manager().All().Except(c.ID()).Send(msg))
			case 3, 4, 5:
				if err := c.Join(group); err != nil && !errors.Is(err, wsmanager.ErrClosed) {
					t.Error(err)
				}
			case 6, 7, 8:
				_ = c.Leave(group)
			case 9, 10:
				book.sent(c.Manager().Group(group).Send(msg))
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
				t.Error("OnClose ran before the context ended or while the connection was in groups")
			}
			closes.Add(1)
		},
	}, onDriver(t, opts))
	if run.calm {
		wsmanager.SetStuckAfter(m, wstest.Patience) // otherwise Close would cut a client that the machine delays
	}
	srv := httptest.NewUnstartedServer(m)
	srv.Listener = run.listen(srv.Listener)
	srv.Start()
	defer srv.Close()
	url := srv.URL

	stop := make(chan struct{})
	var noise sync.WaitGroup
	for id := range 3 {
		noise.Go(func() {
			var toAll int
			for seq := 0; ; seq++ {
				select {
				case <-stop:
					return
				default:
				}
				book.sent(broadcastNoise(m, id, seq, &toAll))
				for c := range m.All().Local() {
					if rand.IntN(200) == 0 {
						_ = c.Close(1000, "") // the error is nil, because the arguments are valid
					}
				}
				time.Sleep(time.Millisecond) // leave processor time to the others
			}
		})
	}

	const clients, each = 8, 20
	duration, start := churnTime(t), time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := 0; duration == 0 && n < each || time.Since(start) < duration; n++ {
				run.runConn(t, url)
			}
		})
	}
	wg.Wait()
	close(stop)
	noise.Wait()
	require.NoError(t, m.Shutdown(t.Context()))
	require.Equal(t, run.dials.Load(), connects.Load())
	require.Equal(t, connects.Load(), closes.Load())
	require.Zero(t, m.All().Len())
	require.Positive(t, messages.Load())

	s := m.Stats()
	require.EqualValues(t, run.dials.Load(), s.Accepted)
	// A deferred broadcast is counted as queued, and may find the outbox full.
	require.EqualValues(t, book.queued.Load()+book.full.Load(), s.MessagesOut+s.Dropped.Oldest+s.Dropped.Closed+s.Dropped.OutboxFull)
	require.LessOrEqual(t, uint64(book.full.Load()), s.Dropped.OutboxFull)
	require.Positive(t, run.received.Load())
	if run.calm {
		require.EqualValues(t, s.MessagesOut, run.received.Load(), "all written messages arrive")
	} else {
		require.LessOrEqual(t, uint64(run.received.Load()), s.MessagesOut)
	}
	require.LessOrEqual(t, uint64(run.gaps.Load()), s.Dropped.OutboxFull+s.Dropped.Oldest)
	require.GreaterOrEqual(t, s.MessagesIn, uint64(messages.Load()))
	ended := uint64(0)
	for _, n := range s.Closed {
		ended += n
	}
	require.Equal(t, s.Accepted, ended)
	require.Zero(t, s.Groups)
	require.Zero(t, s.Users)
	t.Logf("received %d, gaps %d, %+v", run.received.Load(), run.gaps.Load(), s)
}

// broadcastNoise makes a broadcast of a random kind. A receiver gets the broadcasts of one
// id at most once and in order. Broadcasts to all have numbers of their own.
func broadcastNoise(m *wsmanager.Manager, id, seq int, toAll *int) wsmanager.Sent {
	text := fmt.Sprintf("noise %d %d %s", id, seq, repeat("n", rand.IntN(3000)))
	msg, g := wsmanager.Text(text), m.Group(fmt.Sprint("g", rand.IntN(4)))
	choice := func(c *wsmanager.Conn) bool { return c.ID() < "M" }
	switch rand.IntN(8) {
	case 0:
		return g.Send(msg)
	case 1:
		return g.WhereLocal(choice).Send(msg)
	case 2:
		for c := range g.Local() {
			return g.Except(c.ID()).Send(msg)
		}
		return wsmanager.Sent{}
	case 3:
		return m.Users(fmt.Sprint("u", rand.IntN(3))).Send(msg)
	case 4:
		return m.All().WhereLocal(choice).Send(msg)
	case 5:
		return m.All().SendPrepared(wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
			return wsmanager.Message{Type: wsmanager.TextMessage + wsmanager.MessageType(v)%2, Payload: msg.Payload}, nil
		}))
	default:
		*toAll++
		return m.Broadcast(wsmanager.Text(fmt.Sprintf("all %d %d %s", id, *toAll, repeat("n", rand.IntN(3000)))))
	}
}

// runConn runs one connection, which sends some messages and ends in a random way. It must
// receive valid frames only, and the broadcasts in order.
func (run *churn) runConn(t *testing.T, url string) {
	req := wstest.Request(t, url)
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10) // best effort
	run.dials.Add(1)
	c := wstest.HandshakeOn(t, conn, req, nil)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		run.read(t, c)
	}()
	for range rand.IntN(20) {
		if _, err := conn.Write(wstest.Frame(ws.OpText, true, []byte(repeat("x", rand.IntN(2000))))); err != nil {
			break
		}
	}
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // keeps the connection for a while
	ends := 5
	if run.calm {
		ends = 2
	}
	switch rand.IntN(ends) {
	case 0:
		_, _ = conn.Write(wstest.Frame(ws.OpClose, true, nil))
		<-reading
	case 1:
		_, _ = conn.Write([]byte{0xff, 0xff})
		<-reading
	case 2:
		c.Kill()
	case 3:
		_, _ = conn.Write([]byte{0x81}) // half of a header
	case 4:
		_, _ = conn.Write(wstest.Frame(ws.OpText, false, []byte("half a message")))
	}
	_ = conn.Close()
	<-reading
}

// read reads the frames of one connection. Some connections do not read.
func (run *churn) read(t *testing.T, c *wstest.Client) {
	switch rand.IntN(5) {
	case 0:
		if !run.calm {
			return // never reads
		}
		time.Sleep(100 * time.Millisecond) // frames accumulate
	case 1:
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // a slow reader
	}
	complete := c.Response.Header.Get("X-Policy") == wsmanager.SlowConsumerClose.String()
	last := map[string]*[3]int{"noise": {-1, -1, -1}, "all": {-1, -1, -1}}
	for {
		f, err := c.ReadFrame()
		if err != nil {
			if run.calm {
				t.Errorf("no close frame arrived: %v", err)
			}
			return
		}
		if f.Header.OpCode == ws.OpClose {
			_, _ = c.Conn().Write(wstest.Frame(ws.OpClose, true, f.Payload)) // an error is possible: the server may have closed the socket
			if !run.calm {                                                   // a wrapped socket ends only with the close time-out
				_, _ = io.Copy(io.Discard, c.Conn())
			}
			return
		}
		if f.Header.OpCode.IsControl() {
			continue
		}
		run.received.Add(1)
		var kind string
		var id, seq int
		if n, _ := fmt.Fscanf(bytes.NewReader(f.Payload), "%s %d %d ", &kind, &id, &seq); n != 3 || last[kind] == nil {
			continue
		}
		was := &last[kind][id]
		if seq <= *was {
			t.Errorf("%s %d %d came after %d", kind, id, seq, *was)
		}
		if missing := seq - *was - 1; kind == "all" && *was >= 0 && missing > 0 {
			run.gaps.Add(int64(missing))
			if complete {
				t.Errorf("%s %d %d came after %d, with the policy to close", kind, id, seq, *was)
			}
		}
		*was = seq
	}
}

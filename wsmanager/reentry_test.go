package wsmanager_test

import (
	"context"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// callEveryMethod calls every method of the Manager and of a connection, on the connection of
// the running callback (nil if none exists yet).
func callEveryMethod(m *wsmanager.Manager, c *wsmanager.Conn, inner func()) {
	msg := wsmanager.Text("x")
	want := func(*wsmanager.Conn) bool { inner(); return true }
	prepared := wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { inner(); return msg, nil })
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, g := range []wsmanager.Audience{m.Group("g").Audience, m.Users("ann"), m.Groups("g", "h"), m.Conns("nobody")} {
		g.Send(msg)
		g.Except("nobody").Send(msg)
		g.WhereLocal(want).Send(msg)
		g.SendPrepared(prepared)
		g.WhereLocal(want).SendPrepared(prepared)
		for member := range g.Local() {
			_ = member.Send(msg)
		}
		_ = g.Len()
	}
	m.Broadcast(msg)
	m.All().Except("nobody").Send(msg)
	m.All().WhereLocal(want).Send(msg)
	m.All().SendPrepared(prepared)
	m.All().WhereLocal(want).SendPrepared(prepared)
	m.Users("ann").Send(msg)
	m.Users("ann").SendPrepared(prepared)
	_ = m.Send("nobody", msg)
	_ = m.Conns("nobody").Close(1000, "")
	_ = m.Stats()
	for other := range m.All().Local() {
		_, _ = m.Conn(other.ID())
		_ = other.SendPrepared(prepared)
	}
	if c == nil {
		return
	}
	_ = c.Join("h")
	_ = c.Groups()
	_ = c.Leave("h")
	_ = c.Ready(0)
	_ = c.Context().Err()
	_ = c.RemoteAddr()
	_ = c.SendContext(ended, msg)
	_ = c.SendContext(context.Background(), msg)
	_ = m.Send(c.ID(), msg)
}

// Every method may be called inside every callback, also concurrently with others and while
// messages arrive in bursts. Finally a callback closes its own connection.
func TestEveryMethodInsideEveryCallback(t *testing.T) {
	onEachDriver(t, testEveryMethodInsideEveryCallback)
}

func testEveryMethodInsideEveryCallback(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Outbox.Messages, opts.Outbox.Bytes = 1<<20, 64<<20
	var m *wsmanager.Manager
	closed := make(chan struct{}, 100)
	inner := func() {
		m.Broadcast(wsmanager.Text("inner"))
		_ = m.All().Len()
	}
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			callEveryMethod(m, nil, inner)
			return wsmanager.Accept{User: "ann", Groups: []string{"g"}}, nil
		},
		OnConnect: func(c *wsmanager.Conn) error { callEveryMethod(c.Manager(), c, inner); return nil },
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			callEveryMethod(c.Manager(), c, inner)
			if string(msg.Payload) == "last" {
				return c.Manager().Conns(c.ID()).Close(1000, "")
			}
			return nil
		},
		OnClose: func(c *wsmanager.Conn, _ error) {
			callEveryMethod(c.Manager(), c, inner)
			_ = c.Close(1000, "")
			closed <- struct{}{}
		},
	}, opts, func(made *wsmanager.Manager) http.Handler { m = made; return made })
	var burst []byte
	for range 3 {
		burst = append(burst, wstest.Frame(ws.OpText, true, []byte("x"))...)
	}
	burst = append(burst, wstest.Frame(ws.OpText, true, []byte("last"))...)
	var clients []*wstest.Client
	for range 4 {
		clients = append(clients, dialOver(t, url, nil))
	}
	for _, c := range clients {
		c.SendRaw(burst)
	}
	for _, c := range clients {
		c.ExpectClose(1000)
	}
	for range clients {
		select {
		case <-closed:
		case <-time.After(wstest.Patience):
			buf := make([]byte, 1<<20)
			t.Fatalf("a callback is blocked:\n%s", buf[:runtime.Stack(buf, true)])
		}
	}
	require.NoError(t, m.Shutdown(t.Context()))
}

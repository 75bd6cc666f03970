package wsmanager_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestBackplaneOptions(t *testing.T) {
	opts := optionsWithoutLog()
	opts.BackplaneQueue.Messages = 1
	_, err := wsmanager.New(wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, "Options.BackplaneQueue: it has no effect without Options.Backplane")
	opts = optionsWithoutLog()
	opts.Backplane = &wsmanager.LocalBus{}
	opts.BackplaneQueue.Messages, opts.BackplaneQueue.Bytes, opts.BackplaneQueue.Timeout = -1, 1000, -1
	_, err = wsmanager.New(wsmanager.Callbacks{}, opts)
	for _, name := range []string{"Options.BackplaneQueue.Messages: -1", "Options.BackplaneQueue.Bytes: 1000 is below Outbox.Bytes", "Options.BackplaneQueue.Timeout: -1ns"} {
		require.ErrorContains(t, err, name)
	}
}

// Two nodes over real sockets: every connection broadcasts from callbacks and receives the
// broadcasts of all others once, in the order of each sender.
func TestBackplaneOverSockets(t *testing.T) { onEachDriver(t, testBackplaneOverSockets) }

func testBackplaneOverSockets(t *testing.T) {
	bus := &wsmanager.LocalBus{}
	opts := optionsWithoutLog()
	opts.Backplane = bus
	opts.Outbox.Messages = 10_000
	cb := wsmanager.Callbacks{
		OnAccept: byQuery,
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Group("g").Except(c.ID()).Send(m)
			return nil
		},
	}
	const each, count = 3, 200
	var clients []*wstest.Client
	var nodes []*wsmanager.Manager
	for range 2 {
		m, url := serve(t, cb, opts, nil)
		nodes = append(nodes, m)
		for range each {
			clients = append(clients, dialOver(t, url+"?group=g", nil))
		}
	}
	for _, m := range nodes {
		require.NoError(t, m.FlushBackplane(t.Context()))
	}
	var wg sync.WaitGroup
	for i, c := range clients {
		var all []byte
		for j := range count {
			all = append(all, wstest.Frame(1, true, fmt.Appendf(nil, "%d %d", i, j))...)
		}
		wg.Go(func() { _, _ = c.Conn().Write(all) }) // the reader of an incomplete stream reports it
	}
	for i, c := range clients {
		var next [2 * each]int
		for range count * (len(clients) - 1) {
			var from, j int
			_, err := fmt.Sscan(c.Text(), &from, &j)
			require.NoError(t, err)
			require.NotEqual(t, i, from, "a client received its own message")
			require.Equal(t, next[from], j, "of %d", from)
			next[from]++
		}
	}
	wg.Wait()
	for _, m := range nodes {
		// The bus counts a publication shortly after its delivery.
		awaitCondition(t, func() bool { return m.Stats().Backplane.Published == each*count })
		require.EqualValues(t, each*count, m.Stats().Backplane.Received)
	}
}

// Connections join and leave while others broadcast: no deadlock, no data race, and a
// connection that stays receives everything.
func TestBackplaneChurn(t *testing.T) { onEachDriver(t, testBackplaneChurn) }

func testBackplaneChurn(t *testing.T) {
	bus := &wsmanager.LocalBus{}
	opts := optionsWithoutLog()
	opts.Backplane = bus
	opts.Outbox.Messages = 100_000
	var nodes []*wsmanager.Manager
	var conns []*wsmanager.Conn
	var clients []*wstest.Client
	for range 3 {
		m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery}, opts, nil)
		nodes = append(nodes, m)
		clients = append(clients, dialOver(t, url+"?group=stays&name=c&user=ann", nil))
		conns = append(conns, onlyConn(t, m))
	}
	for _, m := range nodes {
		require.NoError(t, m.FlushBackplane(t.Context()))
	}
	var wg sync.WaitGroup
	const rounds = 300
	for i, m := range nodes {
		wg.Go(func() {
			for r := range rounds {
				name := fmt.Sprint("g", r%7)
				_ = conns[i].Join(name) // the connection stays open
				m.Group("stays").Send(wsmanager.Text("x"))
				_ = m.Conns(conns[(i+1)%3].ID()).Join(name) // at worst the request is dropped
				_ = conns[i].Leave(name)
				_ = m.Conns(conns[(i+1)%3].ID()).Leave(name)
			}
		})
	}
	for _, c := range clients {
		for range 3 * rounds {
			c.ExpectText("x")
		}
	}
	wg.Wait()
}

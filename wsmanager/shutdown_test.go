package wsmanager_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestShutdown(t *testing.T) { onEachDriver(t, testShutdown) }

func testShutdown(t *testing.T) {
	j := newJournal()
	m, url := serve(t, wsmanager.Callbacks{
		OnClose: func(_ *wsmanager.Conn, err error) {
			j.note("%v %v", errors.Is(err, wsmanager.ErrShutdown), err)
		},
	}, optionsWithoutLog(), nil)
	var clients []*wstest.Client
	for range 20 {
		clients = append(clients, dialOver(t, url, nil))
	}
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- m.Shutdown(context.Background()) }()
	}
	for _, c := range clients {
		c.ExpectClose(1001)
	}
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	require.Zero(t, m.All().Len())
	require.Len(t, j.all(), 20)
	for _, entry := range j.all() {
		require.Equal(t, "true wsmanager: closed here with 1001: the manager is shutting down", entry)
	}
	c := handshakeOver(t, wstest.Request(t, url), nil)
	require.Equal(t, 503, c.Response.StatusCode)
	require.NoError(t, m.Shutdown(context.Background()), "a repeated Shutdown succeeds")
}

func TestShutdownWithoutConnections(t *testing.T) {
	m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
	require.NoError(t, m.Shutdown(context.Background()))
}

// A peer that does not answer is cut when the context ends.
func TestShutdownCuts(t *testing.T) { onEachDriver(t, testShutdownCuts) }

func testShutdownCuts(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- m.Shutdown(ctx) }()
	f, rerr := c.ReadFrame()
	require.NoError(t, rerr)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, err.Error(), "callbacks")
	c.ExpectEOF()
	require.Zero(t, m.All().Len())
}

// Shutdown also cuts connections that have left the registry because OnClose has run, while
// the peer keeps its end open.
func TestShutdownCutsLingeringConnections(t *testing.T) {
	onEachDriver(t, testShutdownCutsLingeringConnections)
}

func testShutdownCutsLingeringConnections(t *testing.T) {
	needH1(t, "the stream ends after the close frame and does not linger")
	opts := optionsWithoutLog()
	opts.Timeouts.Close = time.Hour
	j := newJournal()
	m, url := serve(t, wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { j.note("closed") }}, opts, nil)
	c := dialOver(t, url, nil)
	c.SendRaw([]byte("\xff\xff"))
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	j.await(t, 1)
	require.Zero(t, m.All().Len())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err = m.Shutdown(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "callbacks")
	require.NoError(t, m.Shutdown(t.Context()))
}

// A callback that never returns does not delay Shutdown beyond its deadline.
func TestShutdownCountsCallbacksThatHaveNotReturned(t *testing.T) {
	onEachDriverAtOnce(t, testShutdownCountsCallbacksThatHaveNotReturned)
}

func testShutdownCountsCallbacksThatHaveNotReturned(t *testing.T) {
	release := make(chan struct{})
	j := newJournal()
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { j.note("in"); <-release; return nil },
		OnClose:   func(*wsmanager.Conn, error) { j.note("closed") },
	}, optionsWithoutLog(), nil)
	for range 3 {
		dialOver(t, url, nil).SendText("x")
	}
	dialOver(t, url, nil)
	j.await(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := m.Shutdown(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "3 callbacks have not returned")
	close(release)
	j.await(t, 7)
	require.NoError(t, m.Shutdown(t.Context()), "all callbacks have returned")
}

package wsmanager_test

import (
	"fmt"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// newSlowConn returns a connection whose client stopped reading long enough ago to be
// detected. Its first message, "stuck", is partly written.
func newSlowConn(t *testing.T, policy wsmanager.SlowConsumer, j *journal) (*wsmanager.Manager, *wstest.Client, *wsmanager.Conn) {
	t.Helper()
	opts := optionsWithoutLog()
	opts.Outbox.Messages, opts.SlowConsumer, opts.Timeouts.Write = 4, policy, time.Minute
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
	}, opts)
	c := dialInMemory(t, m)
	require.NoError(t, onlyConn(t, m).Send(wsmanager.Text("stuck"+repeat("!", 100))))
	time.Sleep(2 * time.Second)
	return m, c, onlyConn(t, m)
}

// TestSlowClientReadsAgain checks the messages of a client that reads again after it was sent
// too much.
func TestSlowClientReadsAgain(t *testing.T) {
	for _, tt := range []struct {
		policy  wsmanager.SlowConsumer
		finds   []string // received after "stuck"
		dropped wsmanager.Dropped
	}{
		{wsmanager.SlowConsumerClose, []string{"close 1013"}, wsmanager.Dropped{OutboxFull: 1, Closed: 3}},
		{wsmanager.SlowConsumerDropNewest, []string{"0", "1", "2", "again"}, wsmanager.Dropped{OutboxFull: 97}},
		{wsmanager.SlowConsumerDropOldest, []string{"96", "97", "98", "99", "again"}, wsmanager.Dropped{Oldest: 96}},
	} {
		t.Run(tt.policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				m, c, conn := newSlowConn(t, tt.policy, j)
				queued, full := 1, 0
				for i := range 100 {
					sent := m.Broadcast(wsmanager.Text(fmt.Sprint(i)))
					queued, full = queued+sent.Queued, full+sent.Dropped
				}
				synctest.Wait()
				if tt.policy == wsmanager.SlowConsumerClose {
					require.Len(t, j.all(), 1, "OnClose runs without waiting for the peer")
					require.ErrorIs(t, conn.Send(wsmanager.Text("x")), wsmanager.ErrClosed)
				} else {
					require.Empty(t, j.all())
				}
				c.ExpectText("stuck" + repeat("!", 100))
				synctest.Wait()
				if err := conn.Send(wsmanager.Text("again")); err == nil {
					queued++
				}
				for _, want := range tt.finds {
					f, err := c.ReadFrame()
					require.NoError(t, err)
					got := string(f.Payload)
					if f.Header.OpCode == ws.OpClose {
						code, _ := ws.ParseCloseFrameData(f.Payload)
						got = fmt.Sprint("close ", code)
					}
					require.Equal(t, want, got)
				}
				c.Kill()
				synctest.Wait()
				s := m.Stats()
				require.Equal(t, tt.dropped, s.Dropped)
				require.EqualValues(t, queued, s.MessagesOut+s.Dropped.Oldest+s.Dropped.Closed, "every queued message is counted once")
				require.EqualValues(t, full, s.Dropped.OutboxFull)
			})
		})
	}
}

// A client that does not even read the close frame with 1013 is cut after the close timeout.
// No caller waits for it.
func TestSlowClientThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		m, c, _ := newSlowConn(t, wsmanager.SlowConsumerClose, j)
		began := time.Now()
		for m.All().Len() > 0 {
			m.Broadcast(wsmanager.Text("x"))
			synctest.Wait()
		}
		require.Zero(t, time.Since(began))
		require.Len(t, j.all(), 1)
		require.NoError(t, m.Shutdown(t.Context()))
		require.InDelta(t, 5, time.Since(began).Seconds(), 1, "the connection is gone after Timeouts.Close")
		_, err := c.ReadFrame()
		require.Error(t, err)
	})
}

// The server can close a stuck connection immediately: from then on it accepts no messages,
// and its descriptor is closed. A connection that may only be slow has until the close
// timeout. If its client reads in time, it finds the earlier messages and the close code.
func TestCloseByIDOfAStuckConnection(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lives bool // has read something within the last second
		reads bool
		takes time.Duration
	}{
		{"stuck", false, false, 0},
		{"slow, and never reads again", true, false, 5 * time.Second},
		{"slow, and reads again", true, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				m, c, conn := newSlowConn(t, wsmanager.SlowConsumerDropNewest, j)
				if tt.lives {
					c.ExpectText("stuck" + repeat("!", 100))
					require.NoError(t, conn.Send(wsmanager.Text("stuck again")))
					synctest.Wait()
				}
				for range 10 {
					m.Broadcast(wsmanager.Text("x"))
				}
				began := time.Now()
				require.NoError(t, m.Conns(conn.ID()).Close(4001, "too slow"))
				require.ErrorIs(t, conn.Send(wsmanager.Text("y")), wsmanager.ErrClosed)
				require.Equal(t, wsmanager.Sent{}, m.Broadcast(wsmanager.Text("y")))
				require.Zero(t, time.Since(began), "Close and Send return immediately")
				if tt.reads {
					c.ExpectText("stuck again")
					require.Equal(t, "too slow", c.ExpectClose(4001))
				}
				require.Equal(t, `wsmanager: closed here with 4001 ("too slow")`, j.await(t, 1)[0])
				require.InDelta(t, tt.takes.Seconds(), time.Since(began).Seconds(), tt.takes.Seconds()/5)
				if !tt.lives {
					_, err := c.ReadFrame()
					require.Error(t, err, "cut in the middle of a frame")
				}
				require.Zero(t, m.All().Len())
				require.NoError(t, m.Shutdown(t.Context()))
			})
		})
	}
}

// The write timeout cuts peers that read almost nothing. If the transport is not a plain
// socket, that is less than 16 KiB per timeout.
func TestWriteTimeoutOfASlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		m, c, _ := newSlowConn(t, wsmanager.SlowConsumerDropOldest, j)
		for range 200 { // a little more than three minutes
			time.Sleep(time.Second)
			m.Broadcast(wsmanager.Binary(make([]byte, 20<<10))) // more than the client reads
			_, err := io.ReadFull(c.Conn(), make([]byte, 1<<10))
			require.NoError(t, err)
			c.SendPong(nil) // the pings are far behind in the queue
		}
		require.Equal(t, 1, m.All().Len())
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Len(t, j.all(), 1)
		require.Contains(t, j.all()[0], ": a write made no progress in time")
	})
}

// The same bytes can be queued several times in an outbox, and their sum can overflow a 32-bit
// int.
func TestOutboxOfTwoGigabytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := optionsWithoutLog()
		opts.Outbox.Messages, opts.Outbox.Bytes = 1000, math.MaxInt32
		opts.SlowConsumer, opts.Timeouts.Write = wsmanager.SlowConsumerDropNewest, time.Minute
		m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
		dialInMemory(t, m)
		const size = 16 << 20
		p := wsmanager.Prepare(wsmanager.Binary(make([]byte, size)))
		queued := 0
		for range 200 {
			queued += m.All().SendPrepared(p).Queued
		}
		require.Equal(t, math.MaxInt32/size, queued)
	})
}

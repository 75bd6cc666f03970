package wsmanager

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// TestSlowConsumerPolicies sends ten messages to an outbox of three while another message is
// partly written.
func TestSlowConsumerPolicies(t *testing.T) {
	for _, tt := range []struct {
		policy  SlowConsumer
		results string // of the ten sends: queued, full, closed
		arrive  []string
		dropped Dropped
	}{
		{SlowConsumerClose, "qqfccccccc", []string{"half", "0x8"}, Dropped{OutboxFull: 1, Closed: 2}},
		{SlowConsumerDropNewest, "qqffffffff", []string{"half", "m0", "m1"}, Dropped{OutboxFull: 8}},
		{SlowConsumerDropOldest, "qqqqqqqqqq", []string{"half", "m7", "m8", "m9"}, Dropped{Oldest: 7}},
	} {
		for name, send := range map[string]func(*Conn, Message) byte{
			"Send": func(c *Conn, m Message) byte {
				switch c.Send(m) {
				case nil:
					return 'q'
				case ErrOutboxFull:
					return 'f'
				case ErrClosed:
					return 'c'
				}
				return '?'
			},
			"Broadcast": func(c *Conn, m Message) byte {
				switch c.m.Broadcast(m) {
				case Sent{Queued: 1}:
					return 'q'
				case Sent{Dropped: 1}:
					return 'f'
				case Sent{}:
					return 'c'
				}
				return '?'
			},
		} {
			t.Run(tt.policy.String()+"/"+name, func(t *testing.T) {
				m, _ := fakeManager(t, Options{Outbox: Outbox{Messages: 3}, SlowConsumer: tt.policy})
				tr := newFakeTransport(0)
				c := fakeConn(t, m, "a", tr, Accept{})
				sendAndBlock(t, c, tr, "half")
				var results []byte
				for i := range 10 {
					results = append(results, send(c, Text(fmt.Sprintf("m%d", i))))
				}
				require.Equal(t, tt.results, string(results))
				tr.releaseWrites()
				awaitNoWriters(t, m)
				require.Equal(t, tt.arrive, tr.frames(t))
				s := m.Stats()
				require.Equal(t, tt.dropped, s.Dropped)
				queued := 1 + countByte(results, 'q')
				require.Equal(t, queued, int(s.MessagesOut+s.Dropped.Oldest+s.Dropped.Closed), "every queued message is counted once")
			})
		}
	}
}

func countByte(p []byte, b byte) (n int) {
	for _, x := range p {
		if x == b {
			n++
		}
	}
	return n
}

// OnAccept may choose a different policy for a connection.
func TestPolicyOfOneConnection(t *testing.T) {
	m, _ := fakeManager(t, Options{Outbox: Outbox{Messages: 1}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{SlowConsumer: SlowConsumerDropOldest})
	sendAndBlock(t, c, tr, "half")
	for i := range 10 {
		require.NoError(t, c.Send(Text(fmt.Sprint(i))))
	}
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "9"}, tr.frames(t))
}

// With a byte limit, as many of the oldest messages are dropped as the new one needs.
func TestDropOldestByBytes(t *testing.T) {
	m, _ := fakeManager(t, Options{Outbox: Outbox{Bytes: 100}, Limits: Limits{MaxMessageSize: 50}, SlowConsumer: SlowConsumerDropOldest})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	for i := range 10 {
		require.NoError(t, c.Send(Text(fmt.Sprintf("%08d", i)))) // 10 bytes each
	}
	require.Zero(t, m.Stats().Dropped.Oldest)
	big := fmt.Sprintf("%023d", 0) // 25 bytes
	require.NoError(t, c.Send(Text(big)))
	require.EqualValues(t, 3, m.Stats().Dropped.Oldest)
	require.ErrorIs(t, c.Send(Text(fmt.Sprintf("%099d", 0))), ErrMessageTooBig)
	tr.releaseWrites()
	awaitNoWriters(t, m)
	got := tr.frames(t)
	require.Equal(t, []string{"half", "00000003"}, got[:2])
	require.Equal(t, big, got[len(got)-1])
}

// A full outbox still accepts pongs and the close frame. A pong precedes queued messages, but
// does not split a message.
func TestControlFramesAreExempt(t *testing.T) {
	m, _ := fakeManager(t, Options{Outbox: Outbox{Messages: 2}, SlowConsumer: SlowConsumerDropNewest})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	require.NoError(t, c.Send(Text("m0")))
	require.ErrorIs(t, c.Send(Text("m1")), ErrOutboxFull)
	c.mu.Lock()
	for i := range 100 {
		c.out.SendControl(c.session(), ws.OpPong, fmt.Append(nil, i)) // only the newest is kept
	}
	c.mu.Unlock()
	tr.proceed <- struct{}{}
	awaitNoWriters(t, m)
	sendAndBlock(t, c, tr, "half too")
	require.NoError(t, c.Close(1000, ""))
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "0xa", "m0", "half too", "0x8"}, tr.frames(t))
}

// Messages that are queued or partly written when the connection is cut are counted as
// dropped.
func TestCutCountsDroppedMessages(t *testing.T) {
	for name, blocking := range map[string]bool{"plain socket": false, "blocking writes": true} {
		t.Run(name, func(t *testing.T) {
			m, _ := fakeManager(t, Options{})
			tr := newFakeTransport(0)
			c := fakeConn(t, m, "a", tr.as(blocking), Accept{})
			require.NoError(t, c.Send(Text("goes")))
			<-tr.entered
			tr.proceed <- struct{}{}
			require.Eventually(t, func() bool { return m.Stats().MessagesOut == 1 }, 10*time.Second, 50*time.Microsecond)
			require.NoError(t, c.Send(Text("on its way")))
			<-tr.entered
			for range 5 {
				require.NoError(t, c.Send(Text("waits")))
			}
			c.mu.Lock()
			c.life.cut(c.session(), &CloseError{Code: StatusAbnormalClosure})
			c.mu.Unlock()
			awaitNoWriters(t, m)
			s := m.Stats()
			require.EqualValues(t, 1, s.MessagesOut)
			require.Equal(t, Dropped{Closed: 6}, s.Dropped)
		})
	}
}

// A message that is written in several chunks counts as one message, and its parts are
// contiguous.
func TestBigMessagesInChunks(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	big := string(make([]byte, 300<<10))
	tr.setRoom(100)
	require.NoError(t, c.Send(Text(big)))
	<-tr.entered
	require.NoError(t, c.Send(Text("small")))
	require.NoError(t, c.Send(Text(big)))
	c.mu.Lock()
	c.out.SendControl(c.session(), ws.OpPing, nil)
	c.mu.Unlock()
	require.NoError(t, c.Send(Text("last")))
	require.NoError(t, c.Close(1000, ""))
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{big, "small", big, "last", "0x8"}, tr.frames(t), "a ping behind a close frame is dropped")
	s := m.Stats()
	require.EqualValues(t, 4, s.MessagesOut)
	require.EqualValues(t, tr.wrote.Len(), s.BytesOut)
	require.Zero(t, s.Dropped)
}

// On transports without TryWrite, a burst is distinguished from a blocked write by time. The
// byte limit always applies.
func TestBurstRule(t *testing.T) {
	for _, tt := range []struct {
		name     string
		blocking bool
		stuck    bool
		size     int
		want     int
	}{
		{"plain socket", false, false, 10, 9}, // in addition to the one being written
		{"a burst", true, false, 10, 159},
		{"a burst, by bytes", true, false, 1000, 10},
		{"a stuck write", true, true, 10, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, clock := fakeManager(t, Options{Outbox: Outbox{Messages: 10, Bytes: 12_000}, Limits: Limits{MaxMessageSize: 1000}, SlowConsumer: SlowConsumerDropNewest})
			tr := newFakeTransport(0)
			c := fakeConn(t, m, "a", tr.as(tt.blocking), Accept{})
			require.NoError(t, c.Send(Binary(make([]byte, tt.size))))
			<-tr.entered
			if tt.stuck {
				clock.Step(2 * sender.StuckAfter)
			}
			n := 0
			for c.Send(Binary(make([]byte, tt.size))) == nil {
				n++
			}
			require.Equal(t, tt.want, n)
		})
	}
}

// With the maximum message limit, the number of messages never makes the outbox crowded.
func TestBurstWithoutALimit(t *testing.T) {
	m, _ := fakeManager(t, Options{Outbox: Outbox{Messages: math.MaxInt}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr.as(true), Accept{})
	require.NoError(t, c.Send(Text("x")))
	<-tr.entered
	require.NoError(t, c.Send(Text("x")))
	require.False(t, c.out.Crowded())
	tr.releaseWrites()
	awaitNoWriters(t, m)
}

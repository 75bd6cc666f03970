package wsmanager_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestSendByID(t *testing.T) { onEachDriver(t, testSendByID) }

func testSendByID(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	ann := dialOver(t, url, nil)
	annID := onlyConn(t, m).ID()
	bob := dialOver(t, url, nil)
	require.Len(t, ids(m), 2)
	require.NoError(t, m.Send(annID, wsmanager.Text("for ann")))
	ann.ExpectText("for ann")
	m.Broadcast(wsmanager.Text("for all"))
	bob.ExpectText("for all") // and no earlier message
	ann.ExpectText("for all")
	require.ErrorIs(t, m.Send("nobody", wsmanager.Text("x")), wsmanager.ErrNoConn)
	require.ErrorIs(t, m.Conns("nobody").Close(1000, ""), wsmanager.ErrNoConn)
	conn, ok := m.Conn(annID)
	require.True(t, ok)
	require.Same(t, m, conn.Manager())
	require.Equal(t, ann.Conn().LocalAddr().String(), conn.RemoteAddr().String())
	require.Nil(t, conn.TLS())

	require.NoError(t, m.Conns(annID).Close(4000, "kicked"))
	require.Equal(t, "kicked", ann.ExpectClose(4000))
	m.Broadcast(wsmanager.Text("still here"))
	bob.ExpectText("still here")
}

func TestSets(t *testing.T) { onEachDriver(t, testSets) }

func testSets(t *testing.T) {
	a, urlA := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	b, urlB := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	inA, inB := dialOver(t, urlA, nil), dialOver(t, urlB, nil)
	require.Equal(t, wsmanager.Sent{Queued: 1}, a.Broadcast(wsmanager.Text("a")))
	require.Equal(t, wsmanager.Sent{Queued: 1}, b.Broadcast(wsmanager.Text("b")))
	inA.ExpectText("a")
	inB.ExpectText("b")
	require.ErrorIs(t, a.Send(onlyConn(t, b).ID(), wsmanager.Text("x")), wsmanager.ErrNoConn)
}

func TestInvalidMessages(t *testing.T) { onEachDriver(t, testInvalidMessages) }

func testInvalidMessages(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Outbox.Bytes, opts.Limits.MaxMessageSize = 64<<10, 1000
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	c := dialOver(t, url, nil)
	conn := onlyConn(t, m)
	require.ErrorIs(t, conn.Send(wsmanager.Message{}), wsmanager.ErrMessageType)
	require.ErrorIs(t, conn.Send(wsmanager.Message{Type: 9}), wsmanager.ErrMessageType)
	require.ErrorIs(t, conn.Send(wsmanager.Binary(make([]byte, 64<<10))), wsmanager.ErrMessageTooBig)
	require.Equal(t, wsmanager.Sent{Dropped: 1, Err: wsmanager.ErrMessageTooBig}, m.Broadcast(wsmanager.Binary(make([]byte, 64<<10))))
	require.NoError(t, conn.Send(wsmanager.Text("still open")))
	c.ExpectText("still open")
}

// Send does not retain the caller's bytes after it returns.
func TestSendTakesTheBytes(t *testing.T) { onEachDriver(t, testSendTakesTheBytes) }

func testSendTakesTheBytes(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	conn := onlyConn(t, m)
	p := make([]byte, 4000)
	const n = 200 // enough that some messages are queued
	for i := range n {
		for j := range p {
			p[j] = byte(i)
		}
		require.NoError(t, conn.Send(wsmanager.Binary(p)))
	}
	for i := range n {
		f, err := c.ReadFrame()
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{byte(i)}, 4000), f.Payload)
	}
}

// Any number of goroutines send to one and to all connections while the receiver is slow.
// Complete frames arrive, each once, in the order of each sender.
func TestConcurrentSends(t *testing.T) { onEachDriver(t, testConcurrentSends) }

func testConcurrentSends(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Outbox.Messages = 1 << 20
	opts.Outbox.Bytes = 1 << 30
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	c := dialOver(t, url, nil)
	conn := onlyConn(t, m)
	const senders, each = 8, 300
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				msg := wsmanager.Text(fmt.Sprintf("%d %d %s", s, i, repeat("x", i*17%9000)))
				if i%2 == 0 {
					if err := conn.Send(msg); err != nil {
						t.Error(err)
					}
				} else if sent := m.Broadcast(msg); sent.Queued != 1 {
					t.Error(sent)
				}
			}
		})
	}
	wg.Wait()
	var next [senders]int
	for range senders * each {
		fields := strings.SplitN(c.Text(), " ", 3)
		s, err := strconv.Atoi(fields[0])
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(next[s]), fields[1])
		require.Equal(t, repeat("x", next[s]*17%9000), fields[2])
		next[s]++
	}
}

// A peer that does not read is closed with 1013 when its outbox is full. Its queued messages
// are lost, and other connections are not delayed.
func TestSlowConsumer(t *testing.T) { onEachDriver(t, testSlowConsumer) }

func testSlowConsumer(t *testing.T) {
	for _, tt := range []struct {
		name            string
		messages, bytes int
	}{{"by messages", 10, 8 << 20}, {"by bytes", 1 << 20, 100 << 10}} {
		t.Run(tt.name, func(t *testing.T) {
			opts, log := logged()
			opts.Outbox.Messages, opts.Outbox.Bytes = tt.messages, tt.bytes
			opts.Timeouts.Close = wstest.Patience // must not expire before the client reads
			j := newJournal()
			m, url := serve(t, wsmanager.Callbacks{
				OnClose: func(c *wsmanager.Conn, err error) { j.note("%v", errors.Is(err, wsmanager.ErrSlowConsumer)) },
			}, opts, nil)
			slow := dialOver(t, url, nil)
			slowID := onlyConn(t, m).ID()
			quick := dialOver(t, url, nil)
			payload := repeat("x", 8000)
			sent, dropped := 0, 0
			for dropped == 0 {
				got := m.Broadcast(wsmanager.Text(payload))
				quick.ExpectText(payload)
				dropped = got.Dropped
				sent++
				require.Less(t, sent, 100_000, "the outbox is never full")
			}
			require.Equal(t, []string{"true"}, j.await(t, 1), "OnClose does not wait for the peer")
			require.ErrorIs(t, m.Send(slowID, wsmanager.Text("x")), wsmanager.ErrNoConn)
			require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Text("on it goes")))
			quick.ExpectText("on it goes")
			rec := log.record(t, 0)
			require.Equal(t, "WARN", rec["level"])
			require.EqualValues(t, 1013, rec["code"])
			require.Equal(t, slowID, rec["conn"])

			// When the peer reads again, it finds complete frames and then the close frame.
			received := 0
			for {
				f, err := slow.ReadFrame()
				require.NoError(t, err)
				if f.Header.OpCode.IsControl() {
					break
				}
				require.Len(t, f.Payload, 8000)
				received++
			}
			require.Less(t, received, sent)
			_, _ = slow.Conn().Write(wstest.Frame(8, true, []byte("\x03\xf5"))) // over HTTP/2 the server does not wait for the answer
			slow.ExpectEOF()
		})
	}
}

// The send that finds the outbox full returns ErrOutboxFull, the next one ErrClosed.
func TestOutboxFull(t *testing.T) { onEachDriver(t, testOutboxFull) }

func testOutboxFull(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Outbox.Messages = 1
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	c := dialOver(t, url, nil)
	conn := onlyConn(t, m)
	var err error
	for err == nil {
		err = conn.Send(wsmanager.Binary(make([]byte, 60_000)))
	}
	require.ErrorIs(t, err, wsmanager.ErrOutboxFull)
	require.ErrorIs(t, conn.Send(wsmanager.Text("x")), wsmanager.ErrClosed)
	c.Kill()
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts wsmanager.Options
		want []string
	}{
		{"zero", wsmanager.Options{}, nil},
		{"message above outbox", wsmanager.Options{Limits: wsmanager.Limits{MaxMessageSize: 2 << 20}}, []string{"Options.Outbox.Bytes: 1048576 is too small for a message of Limits.MaxMessageSize (2097152) and its frame header"}},
		{"message that just fits", wsmanager.Options{Limits: wsmanager.Limits{MaxMessageSize: 1<<20 - 10}}, nil},
		{"message that fits without its header", wsmanager.Options{Limits: wsmanager.Limits{MaxMessageSize: 1 << 20}}, []string{"Outbox.Bytes: 1048576 is too small"}},
		{"idle below ping", wsmanager.Options{Timeouts: wsmanager.Timeouts{Idle: 1}}, []string{"Timeouts.Idle: 1ns is not above Timeouts.PingInterval (50s)"}},
		{"idle within the jitter of pings", wsmanager.Options{Timeouts: wsmanager.Timeouts{PingInterval: 50 * time.Second, Idle: 55 * time.Second}}, []string{"and the 10 % by which it varies"}},
		{"idle above the jitter of pings", wsmanager.Options{Timeouts: wsmanager.Timeouts{PingInterval: 50 * time.Second, Idle: 55*time.Second + 1}}, nil},
		{"message size that overflows with its header", wsmanager.Options{Limits: wsmanager.Limits{MaxMessageSize: math.MaxInt}}, []string{"Outbox.Bytes: 1048576 is too small"}},
		{"rate that is not a number", wsmanager.Options{Limits: wsmanager.Limits{MessageRate: math.NaN()}}, []string{"Limits.MessageRate: NaN is not a rate"}},
		{"infinite rate", wsmanager.Options{Limits: wsmanager.Limits{MessageRate: math.Inf(1)}}, []string{"Limits.MessageRate: +Inf is not a rate"}},
		{"everything at once", wsmanager.Options{
			MaxConnections: -1,
			Limits:         wsmanager.Limits{MessageRate: -1, MessageBurst: -1, ControlRate: -1, MaxGroups: -1, MaxMessageSize: -1},
			SlowConsumer:   9,
			Outbox:         wsmanager.Outbox{Messages: -1, Bytes: -1},
			Timeouts:       wsmanager.Timeouts{PingInterval: -1, Idle: -1, Write: -1, Handshake: -1, Close: -1},
			Origins:        wsmanager.Origins{Allowed: []string{"example.com", "https://ok.example", "https://example.com/", "https://", "https://a?", "ftp:a", "%"}},
		}, []string{
			"wsmanager: Options.Limits.MaxMessageSize: -1 is negative; set a positive number, or 0 for the default of 65536", "Outbox.Messages: -1 is", "Outbox.Bytes: -1 is",
			"MaxConnections: -1 is negative; set a positive number, or 0 for no limit", "MessageRate: -1 is not a rate; set a positive number of messages per second, or 0 for no limit", "MessageBurst: -1 is",
			"ControlRate: -1 is negative; set a positive number, or 0 for the default of 20", "MaxGroups: -1 is", "SlowConsumer: 9 is not a policy",
			"PingInterval: -1ns is negative; set a positive duration, or 0 for the default of 50s", "Idle: -1ns is", "Write: -1ns is", "Handshake: -1ns is", "Close: -1ns is",
			`Origins.Allowed: "example.com" must begin with`, `"https://example.com/" must be scheme, host and port only`, `"https://" has no host`, `"https://a?" must be`, `"ftp:a" must begin with`, `"%" is not a URL`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := wsmanager.New(wsmanager.Callbacks{}, tt.opts)
			if tt.want == nil {
				require.NoError(t, err)
				require.NotNil(t, m)
				return
			}
			require.Nil(t, m)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "ok.example")
			require.Panics(t, func() { wsmanager.MustNew(wsmanager.Callbacks{}, tt.opts) })
		})
	}
}

// An ID is the text form of 128 random bits and is unique.
func TestIDs(t *testing.T) { onEachDriver(t, testIDs) }

func testIDs(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	seen := map[string]bool{}
	for range 50 {
		dialOver(t, url, nil)
	}
	for _, id := range ids(m) {
		require.Regexp(t, `^[A-Z2-7]{26}$`, id)
		require.False(t, seen[id])
		seen[id] = true
	}
	require.Len(t, seen, 50)
}

// The loop over All may end early, and its body may call other methods.
func TestAllHoldsNoLock(t *testing.T) { onEachDriver(t, testAllHoldsNoLock) }

func testAllHoldsNoLock(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	for range 10 {
		dialOver(t, url, nil)
	}
	n := 0
	for c := range m.All().Local() {
		require.NoError(t, m.Conns(c.ID()).Close(1000, ""))
		require.Equal(t, 1, len(firstOf(m)))
		if n++; n == 5 {
			break
		}
	}
	require.Equal(t, 5, n)
}

func firstOf(m *wsmanager.Manager) []string {
	for c := range m.All().Local() {
		return []string{c.ID()}
	}
	return nil
}

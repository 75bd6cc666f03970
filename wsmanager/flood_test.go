package wsmanager_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// flood is the input of a hostile client: begin once, then repeated several times.
type flood struct {
	name        string
	begin       []byte
	repeated    []byte
	times       int
	code        wsmanager.StatusCode
	is          error
	maxMessages uint64 // maximum number of messages that are received from it
}

// floodCases are ways to keep a server busy with frames. A default limit stops each of them,
// except the floods of messages: their rate is an option.
func floodCases() []flood {
	frame := func(op ws.OpCode, fin bool, size int) []byte { return wstest.Frame(op, fin, make([]byte, size)) }
	compressed := func(p []byte) []byte { p[0] |= 0x40; return p }
	part := append(frame(ws.OpContinuation, false, 1), frame(ws.OpPing, true, 0)...)
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression) // an error is only possible for an invalid level
	_, _ = w.Write(make([]byte, 10<<20))
	_ = w.Flush()
	return []flood{
		{"pings", nil, frame(ws.OpPing, true, 0), 100_000, 1008, wsmanager.ErrRateLimit, 0},
		{"big pings", nil, frame(ws.OpPing, true, 125), 10_000, 1008, wsmanager.ErrRateLimit, 0},
		{"pongs", nil, frame(ws.OpPong, true, 0), 100_000, 1008, wsmanager.ErrRateLimit, 0},
		{"pings between fragments", frame(ws.OpBinary, false, 0), part, 10_000, 1008, wsmanager.ErrRateLimit, 0},
		{"empty fragments", frame(ws.OpText, false, 0), frame(ws.OpContinuation, false, 0), 1_000_000, 1008, wsmanager.ErrRateLimit, 0},
		{"empty fragments of a compressed message", compressed(frame(ws.OpText, false, 0)), frame(ws.OpContinuation, false, 0), 1_000_000, 1008, wsmanager.ErrRateLimit, 0},
		{"fragments of one byte", frame(ws.OpText, false, 1), frame(ws.OpContinuation, false, 1), 1_000_000, 1009, nil, 0},
		{"fragments of one byte of a compressed message", compressed(frame(ws.OpText, false, 1)), frame(ws.OpContinuation, false, 1), 1_000_000, 1009, nil, 0},
		{"a message without end", frame(ws.OpBinary, false, 1000), frame(ws.OpContinuation, false, 1000), 10_000, 1009, nil, 0},
		{"messages", nil, frame(ws.OpText, true, 1), 100_000, 1008, wsmanager.ErrRateLimit, 1001},
		{"empty messages", nil, frame(ws.OpText, true, 0), 100_000, 1008, wsmanager.ErrRateLimit, 1001},
		{"empty messages in empty fragments", nil, append(frame(ws.OpText, false, 0), frame(ws.OpContinuation, true, 0)...), 100_000, 1008, wsmanager.ErrRateLimit, 1001},
		{"a deflate bomb", nil, compressed(wstest.Frame(ws.OpBinary, true, bytes.TrimSuffix(bomb.Bytes(), []byte("\x00\x00\xff\xff")))), 10, 1009, nil, 1},
	}
}

// A client that sends frames as fast as it can is closed with the code of the limit that it
// exceeds. Nothing that it sends beyond the limit is handled, and a well-behaved client is
// served all the time.
func TestFloods(t *testing.T) { onEachDriver(t, testFloods) }

func testFloods(t *testing.T) {
	for _, tt := range floodCases() {
		t.Run(tt.name, func(t *testing.T) { tt.test(t) })
	}
}

func (tt *flood) test(t *testing.T) {
	j := newJournal()
	opts := optionsWithoutLog()
	opts.Compression.Enabled = true
	opts.Limits.MessageRate, opts.Limits.MessageBurst = 0.001, 1000
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{User: r.URL.Query().Get("user")}, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if c.User() == "bystander" {
				return c.Send(m)
			}
			return nil
		},
		OnClose: func(c *wsmanager.Conn, err error) {
			if c.User() != "bystander" {
				var ce *wsmanager.CloseError
				j.note("%v %v", errors.As(err, &ce) && ce.Code == tt.code, tt.is == nil || errors.Is(err, tt.is))
			}
		},
	}, opts, nil)
	bystander := dialOver(t, url+"?user=bystander", nil)
	echo := func() {
		bystander.SendText("x")
		bystander.ExpectText("x")
	}
	echo()
	before := m.Stats()
	c := dialOver(t, url, http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}})
	_ = c.Conn().SetDeadline(time.Now().Add(wstest.Patience))
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Conn().Write(tt.begin)
		piece := bytes.Repeat(tt.repeated, min(tt.times, 1+(64<<10)/len(tt.repeated)))
		for sent := 0; sent < tt.times && err == nil; sent += len(piece) / len(tt.repeated) {
			_, err = c.Conn().Write(piece) // fails after the server or the test has closed the connection
		}
	})
	echo()
	for {
		h, err := ws.ReadHeader(c.Conn())
		require.NoError(t, err, "the close frame was not lost to a reset")
		payload := make([]byte, h.Length)
		_, err = io.ReadFull(c.Conn(), payload)
		require.NoError(t, err)
		if h.OpCode == ws.OpClose {
			code, reason := ws.ParseCloseFrameData(payload)
			require.EqualValues(t, tt.code, code)
			require.Empty(t, reason)
			break
		}
	}
	echo()
	c.Kill()
	wg.Wait()
	require.Equal(t, []string{"true true"}, j.await(t, 1))
	stats := m.Stats()
	require.EqualValues(t, 1, stats.Closed[tt.code], "closes caused by the limit")
	require.LessOrEqual(t, stats.MessagesIn-before.MessagesIn, tt.maxMessages+2, "two messages are the bystander's")
}

// A message that arrives in pieces of one byte is slow but valid.
func TestMessageInPiecesOfOneByte(t *testing.T) { onEachDriver(t, testMessageInPiecesOfOneByte) }

func testMessageInPiecesOfOneByte(t *testing.T) {
	j := newJournal()
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { j.note("%d", len(m.Payload)); return nil },
	}, optionsWithoutLog(), nil)
	const size = 64 << 10
	stream := wstest.Frame(ws.OpBinary, false, []byte("x"))
	for i := range size - 1 {
		stream = append(stream, wstest.Frame(ws.OpContinuation, i == size-2, []byte("x"))...)
	}
	c := dialOver(t, url, nil)
	c.SendRaw(stream)
	require.Equal(t, []string{fmt.Sprint(size)}, j.await(t, 1))
	require.EqualValues(t, 1, m.Stats().MessagesIn)
}

// Fragments without content let a message continue without limit, at the peer's full speed and
// past Options.Limits.MessageRate. A few empty fragments, from a sender that flushes without
// data, are allowed.
func TestEmptyFragmentsHadNoLimit(t *testing.T) { onEachDriver(t, testEmptyFragmentsHadNoLimit) }

func testEmptyFragmentsHadNoLimit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		empty int
		code  int
	}{{"some", 100, 0}, {"too many", 101, 1008}} {
		t.Run(tt.name, func(t *testing.T) {
			_, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), nil)
			c := dialOver(t, url, nil)
			for range 3 { // the count restarts with each message
				stream := wstest.Frame(ws.OpText, false, nil)
				for i := range tt.empty - 1 {
					stream = append(stream, wstest.Frame(ws.OpContinuation, false, nil)...)
					if i%10 == 0 { // fragments with content don't reset the count
						stream = append(stream, wstest.Frame(ws.OpContinuation, false, []byte("."))...)
					}
				}
				c.SendRaw(append(stream, wstest.Frame(ws.OpContinuation, true, nil)...))
				if tt.code != 0 {
					c.ExpectClose(tt.code)
					return
				}
				c.ExpectText("..........")
			}
		})
	}
}

// 1000 clients connect and then disappear silently: no FIN, no reset, no acknowledgement. Each
// is closed after the idle timeout and counted.
func TestConnectingAndVanishing(t *testing.T) {
	const n = 1000
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan error, n)
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { closed <- err }}, optionsWithoutLog())
		for range n {
			dialInMemory(t, m) // without a reader
		}
		require.Equal(t, n, m.All().Len())
		began := time.Now()
		for range n {
			require.ErrorIs(t, <-closed, wsmanager.ErrIdleTimeout)
		}
		require.InDelta(t, 110, time.Since(began).Seconds(), 5, "Timeouts.Idle and the wheel's tick")
		require.Zero(t, m.All().Len())
		time.Sleep(10 * time.Second) // Options.Timeouts.Close
		require.EqualValues(t, n, m.Stats().Closed[1001])
		require.NoError(t, m.Shutdown(t.Context()), "no connection remains")
	})
}

// A client that reads too slowly does not affect the others, and its backlog is bounded. A
// client that reads almost nothing is cut with ErrWriteTimeout. One that reads more, but less
// than it is sent, is closed when its outbox overflows.
func TestReadingOneByteASecond(t *testing.T) {
	for _, tt := range []struct {
		name string
		rate int // bytes read per second
		is   error
		code wsmanager.StatusCode
	}{
		{"one byte a second", 1, wsmanager.ErrWriteTimeout, 1006},
		{"half of the bytes sent to it", 2000, wsmanager.ErrSlowConsumer, 1013},
	} {
		t.Run(tt.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { readsSlowly(t, tt.rate, tt.is, tt.code) }) })
	}
}

func readsSlowly(t *testing.T, rate int, is error, code wsmanager.StatusCode) {
	opts := optionsWithoutLog()
	opts.Outbox.Messages = 16
	closed := make(chan error, 2)
	m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { closed <- err }}, opts)
	slow := dialInMemory(t, m)
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for buf := make([]byte, rate); ; time.Sleep(time.Second) {
			if _, err := io.ReadFull(slow.Conn(), buf); err != nil {
				return
			}
		}
	}()
	fast := dialInMemory(t, m)
	for sent := 0; len(closed) == 0; sent++ {
		require.Less(t, sent, 1000, "the connection is never closed")
		m.Broadcast(wsmanager.Binary(make([]byte, 4000)))
		require.Len(t, fast.Binary(), 4000)
		time.Sleep(time.Second)
	}
	require.ErrorIs(t, <-closed, is)
	stats := m.Stats()
	require.EqualValues(t, 1, stats.Closed[code])
	require.LessOrEqual(t, stats.Dropped.Closed, uint64(16*16), "the backlog is bounded")
	fast.Kill()
	require.Error(t, <-closed)
	time.Sleep(10 * time.Second) // Options.Timeouts.Close
	began := time.Now()
	require.NoError(t, m.Shutdown(t.Context()))
	require.Zero(t, time.Since(began), "no connection remains")
	<-cut
}

// A client that keeps sending parts of a message and never completes it is not idle. The
// memory that it uses is limited by MaxMessageSize.
func TestMessageThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
		c := dialInMemory(t, m)
		go func() { _, _ = io.Copy(io.Discard, c.Conn()) }() // consumes pings
		frame := wstest.Frame(ws.OpBinary, true, make([]byte, 64<<10))
		for _, b := range frame[:100] {
			c.SendRaw([]byte{b})
			time.Sleep(100 * time.Second)
		}
		require.Equal(t, 1, m.All().Len())
		require.Zero(t, m.Stats().MessagesIn)
		c.Kill()
		synctest.Wait()
		require.Zero(t, m.All().Len())
	})
}

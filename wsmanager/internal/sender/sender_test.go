package sender

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// fakeHost records what the Sender reports.
type fakeHost struct {
	sync.Mutex
	s       *Sender
	reports []string
}

func (h *fakeHost) WriterStarted()  { h.reports = append(h.reports, "writer started") }
func (h *fakeHost) CloseFrameSent() { h.reports = append(h.reports, "close frame sent") }
func (h *fakeHost) WriteFailed(err error) {
	h.reports = append(h.reports, err.Error())
	h.s.Cut()
}
func (h *fakeHost) ConsumerTooSlow() {
	h.reports = append(h.reports, "too slow")
	h.s.BeginClose()
	h.s.DropMessages()
}

// fakeTransport is a transport.WritableNotifier: the test calls Pump.
type fakeTransport struct {
	transport.Transport
	room    int // bytes that TryWrite takes
	failure error
	wrote   []byte
}

func (t *fakeTransport) TryWrite(p []byte) (int, error) {
	n := min(len(p), t.room)
	t.room -= n
	t.wrote = append(t.wrote, p[:n]...)
	return n, t.failure
}

func (t *fakeTransport) NotifyWritable() {}
func (t *fakeTransport) Close() error    { return nil }

// blockingTransport takes bytes only with Write, one call for each value of proceed.
type blockingTransport struct {
	transport.Transport
	entered chan struct{}
	proceed chan error
}

func (t *blockingTransport) Write(p []byte, progress func()) (int, error) {
	t.entered <- struct{}{}
	if err := <-t.proceed; err != nil {
		return 0, err
	}
	progress()
	return len(p), nil
}

type element struct{ timewheel.Entry[*element] }

func (e *element) WheelEntry() *timewheel.Entry[*element] { return &e.Entry }
func (e *element) Due(int64)                              {}

func newConfig(maxMessages, maxBytes int) (*Config, *stepclock.Clock) {
	clock := stepclock.New(time.Unix(1e9, 0), 1)
	wheel := new(timewheel.Wheel[*element])
	wheel.Init(clock, time.Second)
	return &Config{
		MaxMessages: maxMessages, MaxBytes: maxBytes, StuckAfter: StuckAfter,
		Ticker: &wheel.Ticker, Counters: new(counters.Counters), Active: new(activity.Counter),
	}, clock
}

func newSender(cfg *Config, t transport.Transport, policy Policy) (*Sender, *fakeHost) {
	s := new(Sender)
	s.Init(cfg, &net.TCPAddr{}, policy, 3)
	if t != nil {
		s.Attach(t)
	}
	return s, &fakeHost{s: s}
}

func message(text string) []byte { return frame.Append(nil, ws.OpText, []byte(text)) }

// sizeOf returns the length of the frame of a text.
func sizeOf(text string) int { return len(message(text)) }

func TestFramesBeforeTheHandshakeAreQueued(t *testing.T) {
	cfg, _ := newConfig(2, 100)
	s, h := newSender(cfg, nil, Close)
	require.Equal(t, &net.TCPAddr{}, s.Transport().RemoteAddr())
	s.SendControl(h, ws.OpPing, nil)
	require.True(t, s.Idle(), "no ping is sent before the handshake")
	require.NoError(t, s.Send(h, message("a"), true))
	require.Empty(t, h.reports)
	require.NoError(t, s.CloseTransport())

	tr := &fakeTransport{room: 100}
	s.Attach(tr)
	s.Flush(h)
	require.False(t, s.Pump(h))
	require.Equal(t, message("a"), tr.wrote)
	require.True(t, s.Idle())
	require.Equal(t, counters.Total{MessagesOut: 1, BytesOut: 3}, cfg.Counters.Total())
}

// Of a frame that is not shared the outbox has a copy; a shared one is not copied.
func TestOwnershipOfFrames(t *testing.T) {
	cfg, _ := newConfig(10, 100)
	tr := &fakeTransport{room: 2}
	s, h := newSender(cfg, tr, Close)
	own, shared := message("own"), message("shared")
	require.NoError(t, s.Send(h, own, false))
	copy(own, "xxxxx")
	require.NoError(t, s.Send(h, shared, true))
	require.Same(t, &shared[0], &s.LastFrame()[0])
	tr.room = 100
	require.False(t, s.Pump(h))
	require.Equal(t, append(message("own"), shared...), tr.wrote)
}

// A frame in parts is the same on the wire, wherever the transport stops, and the caller may
// reuse the parts.
func TestSendParts(t *testing.T) {
	const size = 3000
	whole := frame.Append(nil, ws.OpBinary, bytes.Repeat([]byte("0123456789"), size/10))
	for _, room := range []int{0, 1, 2, 99, 100, 101, size, len(whole) - 1, len(whole)} {
		for _, head := range []int{100, len(whole)} {
			cfg, _ := newConfig(1, size+100)
			tr := &fakeTransport{room: room}
			s, h := newSender(cfg, tr, Close)
			sent := bytes.Clone(whole)
			require.NoError(t, s.SendParts(h, sent[:head], sent[head:]))
			clear(sent)
			require.Equal(t, string(whole[:room]), string(tr.wrote))
			require.Equal(t, room == len(whole), s.Idle())
			tr.room = size + 100
			if !s.Idle() {
				require.False(t, s.Pump(h))
			}
			require.Equal(t, whole, tr.wrote, "room for %d, %d in the first part", room, head)
			require.Equal(t, counters.Total{MessagesOut: 1, BytesOut: uint64(len(whole))}, cfg.Counters.Total())
		}
	}
}

// A frame in parts meets the policy, as any other.
func TestSendPartsBehindOthers(t *testing.T) {
	cfg, _ := newConfig(2, 100)
	tr := &fakeTransport{}
	s, h := newSender(cfg, tr, DropNewest)
	a, b := message("first"), message("second")
	require.NoError(t, s.SendParts(h, a[:3], a[3:]))
	require.NoError(t, s.SendParts(h, b[:3], b[3:]))
	require.Equal(t, ErrOutboxFull, s.SendParts(h, a[:3], a[3:]))
	tr.room = 100
	require.False(t, s.Pump(h))
	require.Equal(t, append(message("first"), message("second")...), tr.wrote)

	tr.failure = errors.New("reset")
	require.Equal(t, ErrClosed, s.SendParts(h, a[:3], a[3:]))
	require.Contains(t, h.reports, "reset")
	require.Equal(t, ErrClosed, s.SendParts(h, a[:3], a[3:]))
}

func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		name    string
		policy  Policy
		results []error // of four messages, of which the first is written in part
		reports []string
		wrote   []string
		oldest  uint64
	}{
		{"close", Close, []error{nil, nil, ErrOutboxFull, ErrClosed}, []string{"writer started", "too slow"}, []string{"m0"}, 0},
		{"drop newest", DropNewest, []error{nil, nil, ErrOutboxFull, ErrOutboxFull}, []string{"writer started"}, []string{"m0", "m1"}, 0},
		{"drop oldest", DropOldest, []error{nil, nil, nil, nil}, []string{"writer started"}, []string{"m0", "m2", "m3"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _ := newConfig(2, 100)
			tr := &fakeTransport{room: 1}
			s, h := newSender(cfg, tr, tt.policy)
			for i, want := range tt.results {
				require.Equal(t, want, s.Send(h, message("m"+string(rune('0'+i))), true))
			}
			require.Equal(t, tt.reports, h.reports)
			require.Equal(t, tt.oldest, cfg.Counters.Dropped(counters.Oldest))
			tr.room = 100
			require.False(t, s.Pump(h))
			var wrote []byte
			for _, text := range tt.wrote {
				wrote = append(wrote, message(text)...)
			}
			require.Equal(t, wrote, tr.wrote)
		})
	}
}

// SendUnlimited applies no limit, but a connection that is closing takes no message.
func TestSendUnlimited(t *testing.T) {
	cfg, _ := newConfig(1, 10)
	s, h := newSender(cfg, &fakeTransport{}, Close)
	for range 100 {
		require.NoError(t, s.SendUnlimited(h, message("more")))
	}
	s.BeginClose()
	require.Equal(t, ErrClosed, s.SendUnlimited(h, message("more")))
	s.DropMessages()
	require.EqualValues(t, 100, cfg.Counters.Dropped(counters.Closed))
}

// Each message of a joined send has its own result, wherever the write ends.
func TestSendJoined(t *testing.T) {
	frames := [][]byte{message("a"), message("b"), message("c"), message("d")}
	var data []byte
	for _, f := range frames {
		data = append(data, f...)
	}
	broken := errors.New("broken")
	for _, tt := range []struct {
		name    string
		room    int
		failure error
		results []error
		out     uint64
	}{
		{"all", 100, nil, []error{nil, nil, nil, nil}, 4},
		{"at a border", 2 * sizeOf("a"), nil, []error{nil, nil, nil, ErrOutboxFull}, 2},
		{"in a message", sizeOf("a") + 1, nil, []error{nil, nil, ErrOutboxFull, ErrOutboxFull}, 1},
		{"an error", sizeOf("a") + 1, broken, []error{nil, ErrClosed, ErrClosed, ErrClosed}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _ := newConfig(1, 100)
			s, h := newSender(cfg, &fakeTransport{room: tt.room, failure: tt.failure}, DropNewest)
			sent := s.SendJoined(h, data, frames)
			results := make([]error, sent)
			for _, f := range frames[sent:] {
				results = append(results, s.Enqueue(h, f))
			}
			require.Equal(t, tt.results, results)
			require.Equal(t, tt.out, cfg.Counters.Total().MessagesOut)
		})
	}
}

func TestPongs(t *testing.T) {
	cfg, _ := newConfig(1, 100)
	tr := &fakeTransport{room: 100}
	s, h := newSender(cfg, tr, Close)
	require.False(t, s.PongReceived(), "no ping was sent")
	s.SendControl(h, ws.OpPing, nil)
	s.SendControl(h, ws.OpPong, []byte("x"))
	require.Equal(t, "\x89\x00\x8a\x01x", string(tr.wrote))
	require.True(t, s.PongReceived())
	require.False(t, s.PongReceived())
}

// Nothing follows the close frame, and the sends that wait fail.
func TestCloseFrameIsLast(t *testing.T) {
	cfg, _ := newConfig(10, 100)
	tr := &fakeTransport{}
	s, h := newSender(cfg, tr, Close)
	require.NoError(t, s.Send(h, message("queued"), true))
	s.SendControl(h, ws.OpPong, nil)
	s.BeginClose()
	s.SendClose(h, 1000, "")
	s.SendControl(h, ws.OpPong, nil)
	require.Equal(t, ErrClosed, s.Send(h, message("late"), true))
	tr.room = 100
	require.False(t, s.Pump(h))
	require.Equal(t, append(message("queued"), "\x88\x02\x03\xe8"...), tr.wrote)
	require.Equal(t, []string{"writer started", "close frame sent"}, h.reports)
}

// An error cuts the connection, and queued messages count as dropped.
func TestWriteFails(t *testing.T) {
	for _, name := range []string{"in Send", "in the writer"} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := newConfig(10, 100)
			tr := &fakeTransport{}
			s, h := newSender(cfg, tr, Close)
			broken := errors.New("broken")
			if name == "in Send" {
				tr.failure = broken
				require.Equal(t, ErrClosed, s.Send(h, message("a"), true))
				require.Equal(t, []string{"broken"}, h.reports)
				return
			}
			require.NoError(t, s.Send(h, message("a"), true))
			require.NoError(t, s.Send(h, message("b"), true))
			tr.failure = broken
			require.False(t, s.Pump(h))
			require.Equal(t, []string{"writer started", "broken"}, h.reports)
			require.EqualValues(t, 2, cfg.Counters.Dropped(counters.Closed))
			require.Equal(t, ErrClosed, s.Send(h, message("c"), true))
		})
	}
}

func TestSendOrWait(t *testing.T) {
	cfg, _ := newConfig(4, 100)
	tr := &fakeTransport{}
	s, h := newSender(cfg, tr, Close)
	for _, text := range []string{"a", "b"} {
		w, err := s.SendOrWait(h, message(text), true)
		require.NoError(t, err)
		require.Nil(t, w)
	}
	c, err := s.SendOrWait(h, message("c"), true)
	require.NoError(t, err)
	d, err := s.SendOrWait(h, message("d"), true)
	require.NoError(t, err)
	require.Equal(t, 2, s.Waiting())
	require.NoError(t, s.Send(h, message("x"), true), "sends that do not wait still find room")

	tr.room = 3 * sizeOf("a")
	require.True(t, s.Pump(h))
	require.NoError(t, s.Await(t.Context(), h, c))
	require.NoError(t, s.Await(t.Context(), h, d))

	e, err := s.SendOrWait(h, message("e"), true)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	require.Equal(t, enough, s.Await(ctx, h, e))
	f, err := s.SendOrWait(h, message("f"), true)
	require.NoError(t, err)
	s.Cut()
	require.Equal(t, ErrClosed, s.Await(t.Context(), h, f))
}

// A blocking transport is written to by a goroutine, without the lock.
func TestBlockingWriter(t *testing.T) {
	cfg, clock := newConfig(2, 1000)
	tr := &blockingTransport{entered: make(chan struct{}), proceed: make(chan error)}
	s, h := newSender(cfg, tr, DropNewest)
	locked := func(f func()) {
		h.Lock()
		defer h.Unlock()
		f()
	}
	locked(func() {
		require.False(t, s.WriterAdvances())
		require.NoError(t, s.Send(h, message("first"), true))
	})
	<-tr.entered
	locked(func() {
		require.True(t, s.WriterAdvances())
		for range 2*BurstFactor - 1 {
			require.NoError(t, s.Send(h, message("more"), true))
		}
		require.True(t, s.Crowded())
		require.Equal(t, ErrOutboxFull, s.Send(h, message("more"), true))
		clock.Jump(StuckAfter)
		require.True(t, s.Stuck())
		require.False(t, s.WriterAdvances())
		require.False(t, s.Crowded())
	})
	tr.proceed <- nil
	<-tr.entered
	locked(func() { require.False(t, s.Stuck(), "it has made progress") })
	tr.proceed <- errors.New("broken")
	require.True(t, cfg.Active.Wait(t.Context()))
	locked(func() {
		require.Equal(t, []string{"writer started", "broken"}, h.reports)
		require.Equal(t, ErrClosed, s.Send(h, message("more"), true))
	})
}

// Clients mask control frames.
func TestClientMasks(t *testing.T) {
	cfg, _ := newConfig(2, 100)
	cfg.Keys = frame.NewMaskKeys()
	tr := &fakeTransport{room: 100}
	s, h := newSender(cfg, tr, Close)
	require.True(t, s.IsClient())
	s.SendControl(h, ws.OpPing, nil)
	s.BeginClose()
	s.SendClose(h, 1000, "")
	require.Equal(t, "\x89\x80", string(tr.wrote[:2]))
	require.Equal(t, "\x88\x82", string(tr.wrote[6:8]))
}

package broadcast

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// fakeConn is a connection that notes what it gets.
type fakeConn struct {
	sync.Mutex
	reception Reception[*fakeConn]
	got       []string
	writes    int
	room      int     // frames that WriteFrames writes at most
	outcome   Outcome // of Send and Enqueue
}

func (c *fakeConn) Reception() *Reception[*fakeConn] { return &c.reception }
func (c *fakeConn) UnlockAndYield()                  { c.Unlock() }
func (c *fakeConn) Enqueue(frame []byte) Outcome     { return c.Send(frame) }

func (c *fakeConn) Send(frame []byte) Outcome {
	if c.outcome == Queued {
		c.got = append(c.got, string(frame))
		c.writes++
	}
	return c.outcome
}

func (c *fakeConn) WriteFrames(_ []byte, frames [][]byte) int {
	n := min(c.room, len(frames))
	for _, f := range frames[:n] {
		c.got = append(c.got, string(f))
	}
	c.writes++
	return n
}

// house is a Broadcaster with its connections.
type house struct {
	Broadcaster[*fakeConn]
	groups  Groups[*fakeConn]
	conns   []*fakeConn
	wheel   timewheel.Wheel[*element]
	active  activity.Counter
	dropped counters.Counters
}

type element struct{ entry timewheel.Entry[*element] }

func (e *element) WheelEntry() *timewheel.Entry[*element] { return &e.entry }
func (*element) Due(int64)                                {}

// newHouse returns a Broadcaster with n connections that are ready. Its clock does not move.
func newHouse(n int) *house {
	h := &house{}
	h.wheel.Init(stepclock.New(time.Unix(1e9, 0), 1), time.Minute)
	h.groups.Init()
	h.Init(h, &h.wheel.Ticker, &h.active, &h.dropped)
	for range n {
		c := &fakeConn{room: 1000}
		h.conns = append(h.conns, c)
		h.BecomeReady(c, EncodingOf(0, false))
	}
	return h
}

func (h *house) AppendTo(list []Recipient[*fakeConn]) []Recipient[*fakeConn] {
	for _, c := range h.conns {
		list = append(list, Recipient[*fakeConn]{Conn: c})
	}
	return list
}

// send publishes a broadcast with the text as its frame in all encodings of the set.
func (h *house) send(q *Queue[*fakeConn], text string, except ...*fakeConn) Result {
	h.Activate()
	b := NewBroadcast[*fakeConn]()
	for e := range h.Encodings(q).All {
		b.SetFrame(e, []byte(text))
	}
	for _, c := range except {
		b.Except(c)
	}
	return h.Publish(q, b)
}

// together calls f as a callback whose broadcasts are deferred, and delivers them.
func (h *house) together(t *testing.T, f func()) {
	t.Helper()
	h.Activate()
	h.MaxDefer = time.Hour
	epoch, ok := h.BeginCallback()
	if !ok {
		t.Fatal("callbacks are not counted")
	}
	f()
	h.EndCallback(epoch)
	h.FlushDeferred()
}

func texts(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("t", i))
	}
	return list
}

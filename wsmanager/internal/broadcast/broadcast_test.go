package broadcast

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
)

// The result counts each receiver, whatever becomes of the frame there.
func TestResult(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(h *house)
		except  []int
		want    Result
		dropped uint64 // as closed
	}{
		{"all get it", func(*house) {}, nil, Result{Queued: 3}, 0},
		{"one is excepted", func(*house) {}, []int{1}, Result{Queued: 2}, 0},
		{"all are excepted", func(*house) {}, []int{0, 1, 2}, Result{}, 0},
		{"one is full", func(h *house) { h.conns[1].outcome = Dropped }, nil, Result{Queued: 2, Dropped: 1}, 0},
		{"one closes unnoticed", func(h *house) { h.conns[1].outcome = Closed }, nil, Result{Queued: 2}, 0},
		{"one is closing", func(h *house) { h.EndReception(h.conns[1], true) }, nil, Result{Queued: 2}, 0},
		{"one is closing and excepted", func(h *house) { h.EndReception(h.conns[1], true) }, []int{1}, Result{Queued: 2}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(3)
			tt.prepare(h)
			var except []*fakeConn
			for _, i := range tt.except {
				except = append(except, h.conns[i])
			}
			require.Equal(t, tt.want, h.send(&h.All, "x", except...))
			require.Equal(t, tt.dropped, h.dropped.Dropped(counters.Closed))
			require.Equal(t, QueueState{}, h.All.State())
		})
	}
}

// Deferred broadcasts to one set are written together. Frames that the connection does not
// take together are queued one by one, in order.
func TestBatch(t *testing.T) {
	const n = 5
	for room := range n + 1 {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprint(room, alone), func(t *testing.T) {
				h := newHouse(2)
				h.Alone = alone
				h.conns[1].room = room
				h.together(t, func() {
					for _, text := range texts(n) {
						require.Equal(t, Result{Queued: 2}, h.send(&h.All, text))
					}
				})
				for i, c := range h.conns {
					require.Equal(t, texts(n), c.got, i)
				}
				if alone {
					require.Equal(t, n, h.conns[1].writes)
				} else {
					require.Equal(t, 1, h.conns[0].writes)
					require.Equal(t, 1+n-room, h.conns[1].writes)
				}
			})
		}
	}
}

// Broadcasts to several sets arrive in the order in which they were published, and before the
// next message to the connection.
func TestOrderAcrossSets(t *testing.T) {
	h := newHouse(2)
	c := h.conns[0]
	for _, g := range []string{"a", "b"} {
		h.Join(c, &h.groups, g)
	}
	queues := []*Queue[*fakeConn]{&h.All, &h.groups.Get("a").Queue, &h.groups.Get("b").Queue}
	h.together(t, func() {
		for i, text := range texts(30) {
			h.send(queues[i*7%3], text)
		}
		h.CatchUp(c, c.Reception())
		c.Send([]byte("direct"))
		h.send(queues[1], "after")
	})
	require.Equal(t, append(texts(30), "direct", "after"), c.got)
	require.Len(t, h.conns[1].got, 10)
}

// A connection that leaves a group gets the broadcasts that were published before that.
func TestMembership(t *testing.T) {
	h := newHouse(1)
	c := h.conns[0]
	h.Join(c, &h.groups, "first")
	h.Join(c, &h.groups, "second")
	require.Equal(t, []string{"first", "second"}, c.reception.GroupNames())
	require.Equal(t, 2, c.reception.Groups())
	q := &h.groups.Get("first").Queue
	h.together(t, func() {
		h.send(q, "before")
		h.Leave(c, "first")
		h.send(q, "after")
		h.Leave(c, "first") // does nothing
	})
	require.Equal(t, []string{"before"}, c.got)
	require.Nil(t, h.groups.Get("first"))
	require.False(t, c.reception.InGroup("first"))
	require.True(t, c.reception.InGroup("second"))
	c.reception.LeaveAll()
	require.Zero(t, h.groups.Len())
	require.Nil(t, c.reception.GroupNames())
}

// A closing connection gets the pending broadcasts if it is closed in order, and otherwise
// they count as dropped.
func TestEndReception(t *testing.T) {
	for _, send := range []bool{false, true} {
		t.Run(fmt.Sprint(send), func(t *testing.T) {
			h := newHouse(2)
			h.together(t, func() {
				h.send(&h.All, "a")
				h.send(&h.All, "not for it", h.conns[0])
				h.send(&h.All, "b")
				h.EndReception(h.conns[0], send)
				require.Equal(t, Result{Queued: 1}, h.send(&h.All, "late"))
			})
			if send {
				require.Equal(t, []string{"a", "b"}, h.conns[0].got)
				require.Zero(t, h.dropped.Dropped(counters.Closed))
			} else {
				require.Empty(t, h.conns[0].got)
				require.EqualValues(t, 2, h.dropped.Dropped(counters.Closed))
			}
			require.Equal(t, []string{"a", "not for it", "b", "late"}, h.conns[1].got)
		})
	}
}

// Only encodings that receivers have are needed, the compressed ones only while a connection
// compresses. A frame that is missing counts as dropped.
func TestEncodings(t *testing.T) {
	h := newHouse(1)
	plain, small := EncodingOf(0, false), EncodingOf(3, true)
	require.EqualValues(t, 3, small.Variant())
	require.True(t, small.Deflate())
	h.conns = append(h.conns, &fakeConn{})
	h.BecomeReady(h.conns[1], small)
	require.Equal(t, EncodingSet(1<<plain), h.Encodings(&h.All))
	h.Compressing(+1)
	require.Equal(t, EncodingSet(1<<plain|1<<small), h.Encodings(&h.All))
	require.True(t, h.All.Has(small))

	b := NewBroadcast[*fakeConn]()
	b.SetFrame(plain, []byte("x"))
	b.SetFrame(small, nil)
	require.Equal(t, Result{Queued: 1, Dropped: 1}, h.Publish(&h.All, b))
	require.EqualValues(t, 1, h.dropped.Dropped(counters.Unsendable))
	h.EndReception(h.conns[1], true)
	require.False(t, h.All.Has(small))
	h.Compressing(-1)
	require.Equal(t, EncodingSet(1<<plain), h.Encodings(&h.All))
}

// Exceptions that have entered meanwhile are not counted twice.
func TestManyExceptions(t *testing.T) {
	var q Queue[*fakeConn]
	b := &Broadcast[*fakeConn]{}
	const n = 100_000
	conns := make([]fakeConn, n)
	excepted := make([]place[*fakeConn], n)
	for i := range conns {
		excepted[i].r = &conns[i].reception
	}
	b.exceptedMembers = []place[*fakeConn]{excepted[0], excepted[n-1]} // as enter adds them
	q.countLocked(b, excepted)                                         // compares with those that have entered, not all with all
	require.Len(t, b.exceptedMembers, n)
}

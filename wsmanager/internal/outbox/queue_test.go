package outbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/bytepool"
)

// frame makes a frame of which Queue sees the first byte.
func frame(opcode byte, text string) []byte { return append([]byte{0x80 | opcode}, text...) }

func message(text string) []byte { return frame(1, text) }

var (
	ping    = frame(9, "ping")
	pong    = frame(10, "pong")
	closing = frame(8, "close")
)

// queued returns the frames of q in order, without the first byte.
func queued(q *Queue) (got []string) {
	for _, f := range q.frames {
		got = append(got, string(f[1:]))
	}
	return got
}

func load(q *Queue) [2]int {
	messages, bytes := q.Load()
	return [2]int{messages, bytes}
}

func droppable(q *Queue) [2]int {
	messages, bytes := q.Droppable()
	return [2]int{messages, bytes}
}

func TestNilQueueIsEmpty(t *testing.T) {
	var q *Queue
	require.False(t, q.Pending())
	require.False(t, q.Writing())
	require.Equal(t, [2]int{}, load(q))
	require.Equal(t, [2]int{}, droppable(q))
	require.Nil(t, q.Last())
	require.Zero(t, q.DropMessages())
	require.Zero(t, q.Waiters())
	require.False(t, q.Withdraw(&Waiter{}))
	q.FailWaiters()
}

// Control frames do not count in the load.
func TestLoad(t *testing.T) {
	q := New(nil)
	q.Push(message("abc"), 3)
	require.Equal(t, [2]int{1, 1}, load(q))
	require.Equal(t, [2]int{0, 0}, droppable(q), "a part of it has been written")
	q.Push(message("de"), 0)
	q.Push(closing, 0)
	q.SetPong(pong)
	require.Equal(t, [2]int{2, 4}, load(q))
	require.Equal(t, [2]int{1, 3}, droppable(q))
	require.Equal(t, closing, q.Last())
	require.Equal(t, 1, q.DropMessages())
	require.Equal(t, [2]int{1, 1}, load(q))
	require.Equal(t, []string{"abc", "close"}, queued(q))
}

func TestControlFramesGoBeforeTheNextFrame(t *testing.T) {
	q := New(nil)
	q.Push(message("half"), 2)
	q.Push(message("next"), 0)
	q.SetPing(ping)
	q.SetPong(frame(10, "old"))
	q.SetPong(pong)
	require.True(t, q.Pending())
	var buf []byte
	p, frames := q.Next(&buf)
	require.Equal(t, 4, frames)
	require.Equal(t, string(message("half")[2:])+string(pong)+string(ping)+string(message("next")), string(p))
	q.SetPong(frame(10, "third"))
	q.Next(&buf)
	require.Equal(t, []string{"half", "pong", "ping", "third", "next"}, queued(q), "behind those that were inserted before")

	q = New(nil)
	q.Push(closing, 0)
	q.SetPong(pong)
	q.Next(&buf)
	require.Equal(t, []string{"pong", "close"}, queued(q), "no frame follows a close frame")
	q = New(nil)
	q.SetPong(pong)
	q.SetPing(ping)
	q.DropControl()
	require.False(t, q.Pending())
}

func TestNextJoinsSmallFrames(t *testing.T) {
	q := New(nil)
	big := message(strings.Repeat("b", joinedSize))
	q.Push(message("a"), 0)
	q.Push(message("b"), 0)
	q.Push(big, 0)
	var buf []byte
	p, frames := q.Next(&buf)
	require.Equal(t, 2, frames)
	require.Equal(t, string(message("a"))+string(message("b")), string(p))
	q.Advance(len(p))
	p, frames = q.Next(&buf)
	require.Equal(t, 1, frames)
	require.Same(t, &big[0], &p[0], "a big frame is not copied")
}

func TestAdvance(t *testing.T) {
	var sent []string
	q := New(func(f []byte) { sent = append(sent, string(f[1:])) })
	for _, text := range []string{"one", "two"} {
		q.Push(message(text), 0)
	}
	q.Push(closing, 0)
	for _, tt := range []struct {
		n, messages int
		closed      bool
		load        [2]int
	}{
		{3, 0, false, [2]int{2, 5}},
		{2, 1, false, [2]int{1, 3}},
		{3, 1, false, [2]int{0, 0}},
		{5, 0, false, [2]int{0, 0}},
		{1, 0, true, [2]int{0, 0}},
	} {
		messages, closed := q.Advance(tt.n)
		require.Equal(t, tt.messages, messages)
		require.Equal(t, tt.closed, closed)
		require.Equal(t, tt.load, load(q))
	}
	require.Equal(t, []string{"one", "two"}, sent)
	require.False(t, q.Pending())
	require.Nil(t, q.frames, "the array of a backlog is freed")
}

func TestFramesInProgressAreNotDropped(t *testing.T) {
	fill := func(sent int) *Queue {
		q := New(nil)
		q.Push(message("0"), sent)
		q.Push(message("1"), 0)
		q.Push(closing, 0)
		q.Push(message("2"), 0)
		return q
	}
	for name, tt := range map[string]struct {
		q         *Queue
		oldest    []string
		all       []string
		droppable [2]int
	}{
		"nothing":   {fill(0), []string{"1", "close", "2"}, []string{"close"}, [2]int{3, 6}},
		"a part":    {fill(1), []string{"0", "close", "2"}, []string{"0", "close"}, [2]int{2, 4}},
		"a claim":   {fill(0), []string{"0", "1", "close"}, []string{"0", "1", "close"}, [2]int{1, 2}},
		"both":      {fill(1), []string{"0", "1", "close"}, []string{"0", "1", "close"}, [2]int{1, 2}},
		"all of it": {fill(0), nil, []string{"0", "1", "close", "2"}, [2]int{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			switch name {
			case "a claim", "both":
				tt.q.Claim(3)
			case "all of it":
				tt.q.Claim(4)
			}
			require.Equal(t, tt.droppable, droppable(tt.q))
			before := load(tt.q)
			if tt.oldest == nil {
				require.False(t, tt.q.DropOldest())
				require.Equal(t, before, load(tt.q))
			} else {
				require.True(t, tt.q.DropOldest())
				require.Equal(t, tt.oldest, queued(tt.q))
			}
			tt.q.DropMessages()
			require.Equal(t, tt.all, queued(tt.q))
			require.Equal(t, [2]int{}, droppable(tt.q))
			require.False(t, tt.q.DropOldest())
		})
	}
}

// After a cut a frame cannot be completed. A claimed one may still be written.
func TestAbandon(t *testing.T) {
	q := New(nil)
	q.Push(message("half"), 2)
	q.Abandon()
	require.Equal(t, 1, q.DropMessages())
	require.False(t, q.Pending())

	q = New(nil)
	q.Push(message("half"), 2)
	q.Claim(1)
	q.Abandon()
	require.Zero(t, q.DropMessages())
	q.Claim(0)
	q.Abandon()
	require.Equal(t, 1, q.DropMessages())
}

func result(t *testing.T, w *Waiter) bool {
	t.Helper()
	select {
	case admitted := <-w.Result():
		return admitted
	default:
		t.Fatal("it still waits")
		return false
	}
}

func TestWaitersAreAdmittedInOrder(t *testing.T) {
	q := New(nil)
	a, b, c := q.Wait(message("12345678")), q.Wait(message("b")), q.Wait(message("c"))
	require.True(t, q.Admit(2, 6), "a message that is too big goes alone")
	require.True(t, result(t, a))
	require.False(t, q.Admit(2, 6))
	require.Equal(t, 2, q.Waiters())
	q.Advance(9)
	require.True(t, q.Admit(2, 6))
	require.True(t, result(t, b))
	require.True(t, result(t, c))
	require.Equal(t, []string{"b", "c"}, queued(q))
	require.False(t, q.Admit(2, 6))

	d, e := q.Wait(message("d")), q.Wait(message("e"))
	require.False(t, q.Admit(2, 6), "the number of messages is at its limit")
	require.True(t, q.Withdraw(d))
	require.False(t, q.Withdraw(d))
	q.FailWaiters()
	require.False(t, result(t, e))
	require.False(t, q.Withdraw(e))
	require.Zero(t, q.Waiters())
}

func TestWriterState(t *testing.T) {
	q := New(nil)
	require.False(t, q.Writing())
	q.SetWriting(true)
	q.Progressed(3 * time.Second)
	require.True(t, q.Writing())
	require.Equal(t, 3*time.Second, q.LastProgress())
}

// The bytes that come out are whole frames in order, without those that were dropped, and
// the load is that of the frames that are left, whatever is called in which order.
func TestRandomUse(t *testing.T) {
	for range 200 {
		q := New(nil)
		var out bytes.Buffer
		var buf []byte
		pushed, dropped := 0, 0
		for range 300 {
			switch rand.IntN(8) {
			case 0, 1, 2:
				q.Push(message(fmt.Sprintf("%d;", pushed)), 0)
				pushed++
			case 3:
				if q.DropOldest() {
					dropped++
				}
			case 4:
				q.SetPong(pong)
			case 5:
				dropped += q.DropMessages()
			default:
				if !q.Pending() {
					continue
				}
				p, frames := q.Next(&buf)
				p = p[:rand.IntN(len(p)+1)]
				q.Claim(frames)
				dropped += q.DropMessages()
				q.Claim(0)
				out.Write(p)
				q.Advance(len(p))
			}
			messages, bytes := 0, 0
			for i, f := range q.frames {
				if isMessage(f) {
					messages++
					bytes += len(f)
					if i == 0 {
						bytes -= q.sent
					}
				}
			}
			require.Equal(t, [2]int{messages, bytes}, load(q))
		}
		for q.Pending() {
			p, _ := q.Next(&buf)
			out.Write(p)
			q.Advance(len(p))
		}
		last, got := -1, 0
		for text := range strings.SplitSeq(strings.ReplaceAll(out.String(), string(pong), ""), ";") {
			if text == "" {
				continue
			}
			n := 0
			_, err := fmt.Sscanf(text[1:], "%d", &n)
			require.NoError(t, err)
			require.Equal(t, message(fmt.Sprint(n)), []byte(text), "a whole frame")
			require.Greater(t, n, last)
			last = n
			got++
		}
		require.Equal(t, pushed, got+dropped)
	}
}

// The memory of a pooled frame is given back when the frame has been written, not before, and
// not if it was dropped.
func TestPushPooled(t *testing.T) {
	const size = 3 << 20 // no other test has frames of this size
	pooled := func() []byte { return append(bytepool.Get(size), 0x81) }
	given := func(f []byte) bool {
		p := bytepool.Get(size)
		return &p[:1][0] == &f[0]
	}
	q := New(nil)
	f, second := pooled(), pooled()
	f, second = append(f, "abc"...), append(second, "def"...)
	q.PushPooled(f, 1)
	q.PushPooled(second, 0)
	q.Push(message("x"), 0)
	require.Equal(t, [2]int{3, 3 + 4 + 2}, load(q))
	q.Advance(2)
	require.False(t, given(f))
	q.Advance(1)
	require.True(t, given(f))
	q.Advance(4)
	require.False(t, given(second), "it was queued while another one was")
	q.PushPooled(f, 0)
	require.Equal(t, 2, q.DropMessages())
	require.False(t, given(f))
}

package timewheel

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"
)

// item is an element that notes when it was called.
type item struct {
	entry Entry[*item]
	calls []int64
	due   func(now int64) // may be nil
}

func (x *item) WheelEntry() *Entry[*item] { return &x.entry }

func (x *item) Due(now int64) {
	x.calls = append(x.calls, now)
	if x.due != nil {
		x.due(now)
	}
}

func newWheel() (*Wheel[*item], *stepclock.Clock) {
	clock := stepclock.New(time.Unix(1e9, 0), 1)
	w := new(Wheel[*item])
	w.Init(clock, 8*time.Second)
	return w, clock
}

// entries counts the elements by their lists, and checks the links.
func entries(t *testing.T, w *Wheel[*item]) int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for i := range w.slots {
		for link := &w.slots[i]; *link != nil; link = &(*link).entry.next {
			require.Same(t, link, (*link).entry.link)
			n++
		}
	}
	require.Equal(t, n, w.count)
	return n
}

func TestWheel(t *testing.T) {
	w, clock := newWheel()
	require.False(t, clock.Armed(), "an empty wheel needs no timer")

	a, b, c := &item{}, &item{}, &item{}
	w.Schedule(a, 3)
	w.Schedule(b, 3)
	w.Schedule(c, 3)
	w.Schedule(b, 3) // again
	w.Schedule(c, 5) // later
	require.Equal(t, 3, entries(t, w))
	require.Equal(t, 3, w.Len())
	require.True(t, clock.Armed())
	clock.Step(2 * w.Tick())
	require.Equal(t, 3, entries(t, w))
	clock.Step(w.Tick())
	require.Equal(t, 1, entries(t, w))
	w.Remove(c)
	w.Remove(c)
	require.Equal(t, 0, entries(t, w))
	require.False(t, clock.Armed(), "nor does one that is empty again")
	require.Equal(t, [][]int64{{3}, {3}, nil}, [][]int64{a.calls, b.calls, c.calls})

	clock.Step(1000 * w.Tick())
	now := w.Now()
	w.Schedule(a, now+1)
	w.Schedule(b, now-100) // overdue
	w.Schedule(c, now+10*slots)
	clock.Step(2 * w.Tick())
	require.Equal(t, 1, entries(t, w))
	clock.Step(3 * slots * w.Tick())
	require.Equal(t, 0, entries(t, w))
	require.Equal(t, []int64{now + slots - 1}, c.calls, "beyond a turn an element is called too early")
	require.False(t, clock.Armed())
}

// An element that is called too early schedules itself again, and is called at its time.
func TestTimesBeyondATurn(t *testing.T) {
	w, clock := newWheel()
	const at = 10*slots + 7
	x := &item{}
	x.due = func(now int64) {
		if now < at {
			w.Schedule(x, at)
		}
	}
	w.Schedule(x, at)
	clock.Step(20 * slots * w.Tick())
	require.Equal(t, int64(at), x.calls[len(x.calls)-1])
	require.LessOrEqual(t, len(x.calls), 12)
	require.False(t, clock.Armed())
}

// A wheel whose timer was late by more than a turn calls all elements.
func TestWheelHeldUp(t *testing.T) {
	w, clock := newWheel()
	for i := range int64(100) {
		w.Schedule(&item{}, 1+i)
	}
	clock.Jump(5 * slots * w.Tick())
	require.Equal(t, 0, entries(t, w))
}

// Elements are scheduled and removed in any order, from anywhere in their slots, and each
// is called once, at its tick.
func TestRandomUse(t *testing.T) {
	w, clock := newWheel()
	items := make([]*item, 200)
	for i := range items {
		items[i] = &item{}
	}
	want := map[*item]int64{}
	for range 5000 {
		x := items[rand.IntN(len(items))]
		switch rand.IntN(4) {
		case 0:
			w.Remove(x)
			delete(want, x)
		case 1, 2:
			at := w.Now() + 1 + rand.Int64N(slots-1)
			w.Schedule(x, at)
			want[x] = at
		default:
			clock.Step(w.Tick())
		}
		for x, at := range want {
			if at <= w.Now() {
				require.Equal(t, []int64{at}, x.calls)
				delete(want, x)
				x.calls = nil
			}
		}
		require.Equal(t, len(want), entries(t, w))
	}
	for _, x := range items {
		require.Empty(t, x.calls)
	}
}

func TestTicks(t *testing.T) {
	for shortest, tick := range map[time.Duration]time.Duration{
		time.Millisecond: 5 * time.Millisecond, 4 * time.Second: 500 * time.Millisecond, time.Hour: time.Second,
	} {
		var w Wheel[*item]
		w.Init(stepclock.New(time.Unix(1e9, 0), 1), shortest)
		require.Equal(t, tick, w.Tick())
	}
	w, clock := newWheel()
	clock.Step(2*time.Second + 1)
	require.Equal(t, 2*time.Second+1, w.Elapsed())
	require.Zero(t, w.Coarse(), "the clock has not been read")
	require.EqualValues(t, 2, w.Now())
	require.EqualValues(t, 2, w.Coarse())
	require.EqualValues(t, 1, w.Ticks(time.Second))
	require.EqualValues(t, 2, w.Ticks(time.Second+1), "rounded up")
	require.EqualValues(t, 1, w.TickOf(time.Second+1), "rounded down")
	require.EqualValues(t, 2+2+1, w.After(time.Second+1))
	require.Equal(t, clock, w.Clock())
}

// Each connection contains an Entry.
func TestSizeOfAnEntry(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Entry[*item]{}), 8+2*unsafe.Sizeof(uintptr(0)))
}

func TestScheduleDoesNotAllocate(t *testing.T) {
	w, clock := newWheel()
	x, y := &item{}, &item{}
	w.Schedule(y, 5) // keeps the timer
	require.Zero(t, testing.AllocsPerRun(100, func() {
		w.Schedule(x, 3)
		w.Schedule(x, 4)
		w.Remove(x)
	}))
	require.True(t, clock.Armed())
}

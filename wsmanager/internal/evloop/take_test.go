//go:build linux

package evloop

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A socket that was taken from a leader is none of its business any more, whoever has
// it when the leader's call returns, and whatever became of it meanwhile.
func TestTakenFromALeader(t *testing.T) {
	for name, row := range map[string]struct {
		meanwhile func(s *stage, l *Loop, me uint64)
		mode      uint32 // before and after the leader's return
	}{
		"it is the taker's": {func(*stage, *Loop, uint64) {}, detached},
		"it is the loop's":  {func(s *stage, _ *Loop, _ uint64) { s.Release() }, slow},
		"it is the loop's, and quick": {func(s *stage, _ *Loop, _ uint64) {
			s.Release()
			s.handBack(inline)
		}, inline},
		"it is another deposed leader's": {func(s *stage, l *Loop, me uint64) {
			s.Release()
			s.handBack(inline)
			s.detachFor(me+8, true, l.now())
		}, detached},
		"it was taken from another as well": {func(s *stage, l *Loop, me uint64) {
			s.Release()
			s.handBack(inline)
			s.detachFor(me+8, true, l.now())
			require.True(t, s.Take())
			s.Release()
		}, slow},
	} {
		t.Run(name, func(t *testing.T) {
			l, s, peer, exit := onStage(t)
			ld := former(l, s)
			ld.me = 1001 // so that there are events after it
			s.detachFor(ld.me, true, l.now())
			say(t, peer, "x")
			returned := make(chan struct{})
			go func() {
				ld.read(&s.Socket)
				ld.afterDeposed()
				close(returned)
			}()
			require.Equal(t, "x", <-s.entered)
			require.True(t, s.Take())
			row.meanwhile(s, l, ld.me)
			s.mu.Lock()
			m := *s.marks
			ok, need := s.ok, s.need
			s.mu.Unlock()
			close(s.gate)
			<-returned
			require.Equal(t, row.mode, s.mode())
			require.Equal(t, m.by, s.marks.by)
			require.Equal(t, m.skip, s.marks.skip, "it could be another leader's")
			require.Equal(t, []uint16{ok, need}, []uint16{s.ok, s.need})
			s.handBack(inline)
			exit()
		})
	}
}

// A leader that the watchdog has deposed, and whose socket it has yet to detach, has lost
// nothing to anybody.
func TestNotTakenInTheWindow(t *testing.T) {
	l, s, _, exit := onStage(t)
	ld := former(l, s)
	ld.me = 1001 // so that there are events before it
	require.False(t, s.Take(), "it is inline")
	require.False(t, s.takenFrom(ld.me))
	s.detachFor(ld.me-8, true, l.now())
	require.False(t, s.takenFrom(ld.me), "that was an earlier event")
	s.handBack(inline)
	s.detachFor(ld.me, true, l.now())
	require.False(t, s.takenFrom(ld.me))
	require.True(t, s.Take())
	require.True(t, s.takenFrom(ld.me))
	s.Release()
	require.True(t, s.takenFrom(ld.me))
	close(s.gate)
	exit()
	require.False(t, s.Take(), "it has ended")
}

// ends is a handler whose first Data ends as it is told to when the gate opens, and whose
// later ones report.
type ends struct {
	stage
	how    func() bool
	second bool
	left   chan struct{} // closed by the first Data's goroutine
}

func (s *ends) Data(p []byte) bool {
	if s.second {
		s.entered <- string(p)
		return true
	}
	s.second = true
	s.entered <- string(p) // Take comes after this
	defer close(s.left)
	<-s.gate
	return s.how()
}

// However a call ends that was taken, the socket goes on, on a leader's goroutine and on
// another.
func TestTakenCallsMayEndAsTheyLike(t *testing.T) {
	for name, how := range map[string]func() bool{
		"returns":      func() bool { return true },
		"stops":        func() bool { return false },
		"panics":       func() bool { panic("told") },
		"exits":        func() bool { runtime.Goexit(); return true },
		"never (here)": nil,
	} {
		for on, first := range map[string]uint32{"on a leader": inline, "on a goroutine": slow} {
			t.Run(name+" "+on, func(t *testing.T) {
				logged := make(chan string, 10)
				l, err := New(Options{Logf: func(format string, _ ...any) { logged <- format }})
				require.NoError(t, err)
				fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
				require.NoError(t, err)
				s := &ends{how: how, left: make(chan struct{})}
				s.entered, s.gate, s.ended = make(chan string, 10), make(chan struct{}), make(chan error, 1)
				require.NoError(t, l.AddOwned(fds[0], s, &s.Socket))
				s.handBack(first)
				say(t, fds[1], "first")
				require.Equal(t, "first", <-s.entered)
				for deadline := time.Now().Add(10 * time.Second); !s.Take(); time.Sleep(time.Millisecond) {
					require.True(t, time.Now().Before(deadline), "nobody deposes the leader")
				}
				say(t, fds[1], "second")
				s.Release()
				require.Equal(t, "second", <-s.entered)
				if how != nil {
					close(s.gate)
					<-s.left
				}
				say(t, fds[1], "third")
				require.Equal(t, "third", <-s.entered)
				if name == "panics" {
					require.Equal(t, "%v", <-logged, "no handler is left to be told")
				}
				require.Empty(t, s.ended)
				require.NoError(t, syscall.Close(fds[1]))
				awaitEnd(t, &s.stage)
				if how == nil {
					s.how = func() bool { return true }
					close(s.gate)
					<-s.left
				}
				require.NoError(t, l.Close())
				<-l.Done()
				require.Empty(t, logged)
			})
		}
	}
}

// A kick that comes while nobody hands the socket back is handled once it was taken.
func TestKicksOfATakenSocket(t *testing.T) {
	l, s, _, exit := onStage(t)
	ld := former(l, s)
	s.detachFor(ld.me, true, l.now())
	s.Kick()
	require.True(t, s.Take())
	require.Empty(t, s.entered)
	s.Release()
	s.dispatch(slow) // as the leader does for the kick's event, which it has not served yet
	require.Equal(t, "kicked", <-s.entered)
	awaitHandedBack(t, s)
	close(s.gate)
	exit()
}

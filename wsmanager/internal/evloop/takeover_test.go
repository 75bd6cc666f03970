//go:build linux

package evloop

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A socket that was taken from a leader is not affected by that leader, whichever state it
// is in when the leader's call returns.
func TestTakenFromALeader(t *testing.T) {
	for name, row := range map[string]struct {
		meanwhile func(s *gatedHandler, l *Loop, me uint64)
		mode      uint32 // before and after the leader's call returns
	}{
		"it belongs to the taker": {func(*gatedHandler, *Loop, uint64) {}, detached},
		"it belongs to the loop":  {func(s *gatedHandler, _ *Loop, _ uint64) { s.Release() }, slow},
		"it belongs to the loop, and is fast": {func(s *gatedHandler, _ *Loop, _ uint64) {
			s.Release()
			s.handBack(inline)
		}, inline},
		"it belongs to another deposed leader": {func(s *gatedHandler, l *Loop, me uint64) {
			s.Release()
			s.handBack(inline)
			s.detachFor(me+8, true, l.now())
		}, detached},
		"it was taken from another as well": {func(s *gatedHandler, l *Loop, me uint64) {
			s.Release()
			s.handBack(inline)
			s.detachFor(me+8, true, l.now())
			require.True(t, s.Take())
			s.Release()
		}, slow},
	} {
		t.Run(name, func(t *testing.T) {
			l, s, peer, exit := blockedLoop(t)
			ld := deposedLeader(l, s)
			ld.w = 1001 // so that there are events after it
			s.detachFor(ld.w, true, l.now())
			writeText(t, peer, "x")
			returned := make(chan struct{})
			go func() {
				ld.read(&s.Socket)
				ld.afterDeposed()
				close(returned)
			}()
			require.Equal(t, "x", <-s.entered)
			require.True(t, s.Take())
			row.meanwhile(s, l, ld.w)
			s.mu.Lock()
			m := *s.handoff
			ok, need := s.fastStreak, s.requiredStreak
			s.mu.Unlock()
			close(s.gate)
			<-returned
			require.Equal(t, row.mode, s.mode())
			require.Equal(t, m.event, s.handoff.event)
			require.Equal(t, m.ignoreEvent, s.handoff.ignoreEvent, "it could belong to another leader")
			require.Equal(t, []uint16{ok, need}, []uint16{s.fastStreak, s.requiredStreak})
			s.handBack(inline)
			exit()
		})
	}
}

// A leader whose socket the watchdog has not detached yet still owns its socket.
func TestNotTakenInTheWindow(t *testing.T) {
	l, s, _, exit := blockedLoop(t)
	ld := deposedLeader(l, s)
	ld.w = 1001 // so that there are events before it
	require.False(t, s.Take(), "it is inline")
	require.False(t, s.takenFrom(ld.w))
	s.detachFor(ld.w-8, true, l.now())
	require.False(t, s.takenFrom(ld.w), "that was an earlier event")
	s.handBack(inline)
	s.detachFor(ld.w, true, l.now())
	require.False(t, s.takenFrom(ld.w))
	require.True(t, s.Take())
	require.True(t, s.takenFrom(ld.w))
	s.Release()
	require.True(t, s.takenFrom(ld.w))
	close(s.gate)
	exit()
	require.False(t, s.Take(), "it has ended")
}

// endingHandler is a handler whose first Data ends in the given way when the gate opens.
// Later calls report their bytes.
type endingHandler struct {
	gatedHandler
	how    func() bool
	second bool
	left   chan struct{} // closed by the goroutine of the first Data
}

func (s *endingHandler) Data(p []byte) bool {
	if s.second {
		s.entered <- string(p)
		return true
	}
	s.second = true
	s.entered <- string(p) // the test calls Take after this
	defer close(s.left)
	<-s.gate
	return s.how()
}

// The socket continues however the call ends from which it was taken, on a leader's
// goroutine and on another.
func TestTakenCallMayEndInAnyWay(t *testing.T) {
	for name, how := range map[string]func() bool{
		"returns":      func() bool { return true },
		"stops":        func() bool { return false },
		"panics":       func() bool { panic("on purpose") },
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
				s := &endingHandler{how: how, left: make(chan struct{})}
				s.entered, s.gate, s.ended = make(chan string, 10), make(chan struct{}), make(chan error, 1)
				require.NoError(t, l.AddOwned(fds[0], s, &s.Socket))
				s.handBack(first)
				writeText(t, fds[1], "first")
				require.Equal(t, "first", <-s.entered)
				for deadline := time.Now().Add(10 * time.Second); !s.Take(); time.Sleep(time.Millisecond) {
					require.True(t, time.Now().Before(deadline), "the watchdog does not depose the leader")
				}
				writeText(t, fds[1], "second")
				s.Release()
				require.Equal(t, "second", <-s.entered)
				if how != nil {
					close(s.gate)
					<-s.left
				}
				writeText(t, fds[1], "third")
				require.Equal(t, "third", <-s.entered)
				if name == "panics" {
					require.Equal(t, "%v", <-logged, "no handler call is left for the error")
				}
				require.Empty(t, s.ended)
				require.NoError(t, syscall.Close(fds[1]))
				awaitEnd(t, &s.gatedHandler)
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

// A kick while the socket has no owner that hands it back is handled after Take.
func TestKicksOfATakenSocket(t *testing.T) {
	l, s, _, exit := blockedLoop(t)
	ld := deposedLeader(l, s)
	s.detachFor(ld.w, true, l.now())
	s.Kick()
	require.True(t, s.Take())
	require.Empty(t, s.entered)
	s.Release()
	s.dispatch(slow) // as the leader does for the event of the kick, which it has not served yet
	require.Equal(t, "kicked", <-s.entered)
	awaitHandedBack(t, s)
	close(s.gate)
	exit()
}

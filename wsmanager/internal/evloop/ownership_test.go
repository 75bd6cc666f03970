//go:build linux

package evloop

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The races between a leader, the watchdog that deposes it and the owners of
// sockets are a few instructions wide. Here they are played step by step, in a
// loop whose own leader waits in a handler and whose watchdog never looks.

// stage is a handler that reports its calls and waits in Data until it is let go.
type stage struct {
	Socket
	entered chan string
	gate    chan struct{}
	ended   chan error
}

func (s *stage) Data(p []byte) bool { s.entered <- string(p); <-s.gate; return true }
func (s *stage) Kicked()            { s.entered <- "kicked" }
func (s *stage) Writable()          { s.entered <- "writable" }
func (s *stage) End(err error)      { s.ended <- err }

func (s *stage) mode() uint32 { return s.state.Load() & modeMask }

// newStage adds a socket to l and returns the descriptor of its other side.
func newStage(t *testing.T, l *Loop) (*stage, int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	s := &stage{entered: make(chan string, 10), gate: make(chan struct{}), ended: make(chan error, 1)}
	require.NoError(t, l.Add(fds[0], s, &s.Socket))
	t.Cleanup(func() { require.NoError(t, syscall.Close(fds[1])) })
	return s, fds[1]
}

func say(t *testing.T, fd int, text string) {
	t.Helper()
	_, err := syscall.Write(fd, []byte(text))
	require.NoError(t, err)
}

func awaitEnd(t *testing.T, s *stage) {
	t.Helper()
	select {
	case err := <-s.ended:
		require.Error(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}

// awaitHandedBack waits until the goroutine has given the socket back, which on a busy
// machine looks like a slow one.
func awaitHandedBack(t *testing.T, s *stage) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.mode() == detached; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "it is not handed back")
	}
}

// onStage is a loop whose leader waits until exit is called, and a socket that
// nobody serves meanwhile.
func onStage(t *testing.T) (l *Loop, s *stage, peer int, exit func()) {
	t.Helper()
	l, err := New(Options{tick: time.Hour})
	require.NoError(t, err)
	holder, hpeer := newStage(t, l)
	say(t, hpeer, "hold")
	require.Equal(t, "hold", <-holder.entered)
	s, peer = newStage(t, l)
	return l, s, peer, func() {
		close(holder.gate)
		holder.Shut()
		s.Shut()
		awaitEnd(t, holder)
		awaitEnd(t, s)
		require.NoError(t, l.Close())
		<-l.Done()
	}
}

// former is a leader that has been deposed from an event of s.
func former(l *Loop, s *stage) *leader {
	ld := newLeader(l, l.w.Load()-2, nil)
	ld.s = &s.Socket
	return ld
}

func TestDeposedBeforeItLooked(t *testing.T) {
	t.Run("inline", func(t *testing.T) {
		l, s, peer, exit := onStage(t)
		say(t, peer, "x")
		former(l, s).serve(&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: s.fd, Pad: int32(s.gen)})
		require.Empty(t, s.entered, "it is its successor's")
		close(s.gate)
		exit()
	})
	// What is armed for one event must not be lost with it.
	for name, state := range map[string]uint32{"slow": slow, "detached": detached | want} {
		t.Run(name, func(t *testing.T) {
			l, s, peer, exit := onStage(t)
			s.mu.Lock()
			s.setLocked(state, modeMask)
			require.NoError(t, epollCtl(l.epfd, syscall.EPOLL_CTL_MOD, int(s.fd), syscall.EPOLLONESHOT, s.gen))
			s.mu.Unlock()
			say(t, peer, "x")
			events := func() uint32 { return pending(l, s) }
			require.Zero(t, events())
			former(l, s).serve(&syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLOUT, Fd: s.fd, Pad: int32(s.gen)})
			require.Empty(t, s.entered)
			require.NotZero(t, events())
			close(s.gate)
			s.handBack(inline)
			exit()
		})
	}
}

// pending is what epoll has for s now.
func pending(l *Loop, s *stage) uint32 {
	var evs [4]syscall.EpollEvent
	n, _ := epollPoll(l.epfd, evs[:])
	for _, ev := range evs[:n] {
		if ev.Fd == s.fd {
			return ev.Events
		}
	}
	return 0
}

// An event of a detached socket says nothing, but has used up the registration
// for EPOLLOUT.
func TestEventWhileDetached(t *testing.T) {
	l, s, _, exit := onStage(t)
	s.mu.Lock()
	s.setLocked(detached|want, modeMask)
	require.NoError(t, epollCtl(l.epfd, syscall.EPOLL_CTL_MOD, int(s.fd), syscall.EPOLLONESHOT, s.gen))
	s.mu.Unlock()
	require.Zero(t, pending(l, s))
	ld := newLeader(l, l.w.Load(), nil)
	ld.serve(&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: s.fd, Pad: int32(s.gen)})
	require.Empty(t, s.entered)
	require.EqualValues(t, syscall.EPOLLOUT, pending(l, s))
	close(s.gate)
	s.handBack(inline)
	exit()
}

func TestRegistration(t *testing.T) {
	const in, out, once = syscall.EPOLLIN | syscall.EPOLLRDHUP, syscall.EPOLLOUT, syscall.EPOLLONESHOT
	for state, events := range map[uint32]uint32{
		inline:                     in,
		inline | want:              in | out,
		inline | flushing:          in,
		inline | want | flushing:   in, // when Writable has returned
		slow:                       in | once,
		slow | want:                in | out | once,
		slow | want | flushing:     in | once,
		detached:                   once,
		detached | want:            out | once,
		detached | want | flushing: once,
	} {
		require.Equal(t, events, registration(open|kicked|state), "state %b", state)
	}
}

// The leader gives a socket to a goroutine; the watchdog deposes the leader
// before, in between or after. The goroutine remains the only owner.
func TestDeposedWhileDispatching(t *testing.T) {
	for name, steps := range map[string]func(s *stage, ld *leader, depose func()){
		"before": func(s *stage, _ *leader, depose func()) { depose(); s.dispatch(inline) },
		"after":  func(s *stage, _ *leader, depose func()) { s.dispatch(inline); depose() },
	} {
		t.Run(name, func(t *testing.T) {
			l, s, peer, exit := onStage(t)
			ld := former(l, s)
			say(t, peer, "x")
			steps(s, ld, func() { s.detachFor(ld.me, true, l.now()) })
			require.Equal(t, "x", <-s.entered)
			ld.afterDeposed()
			require.Equal(t, detached, s.mode(), "the goroutine has it")
			close(s.gate)
			awaitHandedBack(t, s)
			exit()
		})
	}
	t.Run("after it was handed back", func(t *testing.T) {
		l, s, peer, exit := onStage(t)
		ld := former(l, s)
		say(t, peer, "x")
		close(s.gate)
		s.dispatch(inline)
		require.Equal(t, "x", <-s.entered)
		awaitHandedBack(t, s)
		s.handBack(inline)
		s.detachFor(ld.me, false, l.now())
		require.Equal(t, detached, s.mode(), "the watchdog can't know")
		ld.afterDeposed()
		require.Equal(t, inline, s.mode(), "the leader repairs it")
		exit()
	})
}

// The deposed leader is done before the watchdog has come to detach its socket.
func TestDeposedLeaderIsFaster(t *testing.T) {
	l, s, _, exit := onStage(t)
	ld := former(l, s)
	ld.afterDeposed()
	s.detachFor(ld.me, true, l.now())
	require.Equal(t, inline, s.mode(), "nobody would hand it back")
	s.detachFor(ld.me+8, true, l.now())
	require.Equal(t, detached, s.mode(), "another event")
	ld.me += 8
	ld.afterDeposed()
	require.Equal(t, slow, s.mode())
	close(s.gate)
	exit()
}

func TestMarks(t *testing.T) {
	var s Socket
	for _, need := range []uint16{8, 32, 128, 512, 2048, 2048} {
		s.praise()
		s.blame()
		require.Equal(t, need, s.need)
		require.Zero(t, s.ok)
	}
	for range 1 << 17 {
		s.praise()
	}
	require.EqualValues(t, highestProof, s.ok)
	s.blame()
	require.EqualValues(t, firstNeed, s.need, "a long good time counts as the first")
}

func TestMood(t *testing.T) {
	const ms = int64(time.Millisecond)
	var m mood
	unproven, proven := &Socket{}, &Socket{ok: neverProven}
	now := int64(0)
	block := func(n int, every int64) {
		for range n {
			now += every
			m.blocked(now)
		}
	}
	block(10, 60*ms) // never 3 in 100 ms
	require.True(t, m.calm())
	require.False(t, m.avoids(unproven))
	block(2, 10*ms)
	require.False(t, m.calm())
	require.True(t, m.avoids(unproven))
	require.False(t, m.avoids(proven))
	require.False(t, m.avoidsAll())
	now += suspectFor
	m.settle(now)
	require.True(t, m.calm())

	for _, length := range []int64{1, 2, 4, 8, 16, 32, 60, 60} {
		block(retreatAfter, 10*ms)
		require.True(t, m.avoids(proven))
		require.True(t, m.avoidsAll())
		require.Equal(t, length*1000*ms, m.retreatFor)
		now = m.retreatTo
		m.settle(now)
		require.True(t, m.calm())
	}
	require.EqualValues(t, 8, m.retreats.Load())
	now += 2 * longestRetreat
	block(retreatAfter, 10*ms)
	require.Equal(t, shortRetreat, m.retreatFor, "a long good time counts as the first")
}

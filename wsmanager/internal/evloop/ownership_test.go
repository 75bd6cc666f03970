//go:build linux

package evloop

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The races between a leader, the watchdog that deposes it and the owners of sockets are a
// few instructions wide. These tests play them step by step, in a loop whose own leader
// waits in a handler and whose watchdog never ticks.

// gatedHandler reports its calls and waits in Data until its gate is closed.
type gatedHandler struct {
	Socket
	entered chan string
	gate    chan struct{}
	ended   chan error
}

func (s *gatedHandler) Data(p []byte) bool { s.entered <- string(p); <-s.gate; return true }
func (s *gatedHandler) Space() []byte      { return nil }
func (s *gatedHandler) Kicked()            { s.entered <- "kicked" }
func (s *gatedHandler) Writable()          { s.entered <- "writable" }
func (s *gatedHandler) End(err error)      { s.ended <- err }

func (s *gatedHandler) mode() uint32 { return s.state.Load() & modeMask }

// addGated adds a socket to l and returns the descriptor of its other side.
func addGated(t *testing.T, l *Loop) (*gatedHandler, int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	s := &gatedHandler{entered: make(chan string, 10), gate: make(chan struct{}), ended: make(chan error, 1)}
	require.NoError(t, l.Add(fds[0], s, &s.Socket))
	t.Cleanup(func() { require.NoError(t, syscall.Close(fds[1])) })
	return s, fds[1]
}

func writeText(t *testing.T, fd int, text string) {
	t.Helper()
	_, err := syscall.Write(fd, []byte(text))
	require.NoError(t, err)
}

func awaitEnd(t *testing.T, s *gatedHandler) {
	t.Helper()
	select {
	case err := <-s.ended:
		require.Error(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}

// awaitHandedBack waits until the goroutine has handed the socket back. On a busy machine
// the event may count as slow.
func awaitHandedBack(t *testing.T, s *gatedHandler) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.mode() == detached; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "it is not handed back")
	}
}

// blockedLoop returns a loop whose leader waits until exit is called, and a socket that is
// not served meanwhile.
func blockedLoop(t *testing.T) (l *Loop, s *gatedHandler, peer int, exit func()) {
	t.Helper()
	l, err := New(Options{tick: time.Hour})
	require.NoError(t, err)
	holder, hpeer := addGated(t, l)
	writeText(t, hpeer, "hold")
	require.Equal(t, "hold", <-holder.entered)
	s, peer = addGated(t, l)
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

// deposedLeader returns a leader that has been deposed during an event of s.
func deposedLeader(l *Loop, s *gatedHandler) *leader {
	ld := newLeader(l, l.w.Load()-2, nil)
	ld.socket = &s.Socket
	return ld
}

func TestDeposedBeforeItLooked(t *testing.T) {
	t.Run("inline", func(t *testing.T) {
		l, s, peer, exit := blockedLoop(t)
		writeText(t, peer, "x")
		deposedLeader(l, s).serve(&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: s.fd, Pad: int32(s.gen)})
		require.Empty(t, s.entered, "it is its successor's")
		close(s.gate)
		exit()
	})
	// A one-shot registration that the event has used up must be renewed.
	for name, state := range map[string]uint32{"slow": slow, "detached": detached | wantWritable} {
		t.Run(name, func(t *testing.T) {
			l, s, peer, exit := blockedLoop(t)
			s.mu.Lock()
			s.setLocked(state, modeMask)
			require.NoError(t, epollCtl(l.epfd, syscall.EPOLL_CTL_MOD, int(s.fd), syscall.EPOLLONESHOT, s.gen))
			s.mu.Unlock()
			writeText(t, peer, "x")
			events := func() uint32 { return pendingEvents(l, s) }
			require.Zero(t, events())
			deposedLeader(l, s).serve(&syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLOUT, Fd: s.fd, Pad: int32(s.gen)})
			require.Empty(t, s.entered)
			require.NotZero(t, events())
			close(s.gate)
			s.handBack(inline)
			exit()
		})
	}
}

// pendingEvents returns the events that epoll has for s now.
func pendingEvents(l *Loop, s *gatedHandler) uint32 {
	var evs [4]syscall.EpollEvent
	n, _ := epollPoll(l.epfd, evs[:])
	for _, ev := range evs[:n] {
		if ev.Fd == s.fd {
			return ev.Events
		}
	}
	return 0
}

// The leader ignores an event of a detached socket, which has used up the registration for
// EPOLLOUT.
func TestEventWhileDetached(t *testing.T) {
	l, s, _, exit := blockedLoop(t)
	s.mu.Lock()
	s.setLocked(detached|wantWritable, modeMask)
	require.NoError(t, epollCtl(l.epfd, syscall.EPOLL_CTL_MOD, int(s.fd), syscall.EPOLLONESHOT, s.gen))
	s.mu.Unlock()
	require.Zero(t, pendingEvents(l, s))
	ld := newLeader(l, l.w.Load(), nil)
	ld.serve(&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: s.fd, Pad: int32(s.gen)})
	require.Empty(t, s.entered)
	require.EqualValues(t, syscall.EPOLLOUT, pendingEvents(l, s))
	close(s.gate)
	s.handBack(inline)
	exit()
}

func TestRegistration(t *testing.T) {
	const in, out, once = syscall.EPOLLIN | syscall.EPOLLRDHUP, syscall.EPOLLOUT, syscall.EPOLLONESHOT
	for state, events := range map[uint32]uint32{
		inline:                               in,
		inline | wantWritable:                in | out,
		inline | inWritable:                  in,
		inline | wantWritable | inWritable:   in, // armed when Writable has returned
		slow:                                 in | once,
		slow | wantWritable:                  in | out | once,
		slow | wantWritable | inWritable:     in | once,
		detached:                             once,
		detached | wantWritable:              out | once,
		detached | wantWritable | inWritable: once,
	} {
		require.Equal(t, events, registration(open|kickPending|state), "state %b", state)
	}
}

// The leader gives a socket to a goroutine; the watchdog deposes the leader
// before, in between or after. The goroutine remains the only owner.
func TestDeposedWhileDispatching(t *testing.T) {
	for name, steps := range map[string]func(s *gatedHandler, ld *leader, depose func()){
		"before": func(s *gatedHandler, _ *leader, depose func()) { depose(); s.dispatch(inline) },
		"after":  func(s *gatedHandler, _ *leader, depose func()) { s.dispatch(inline); depose() },
	} {
		t.Run(name, func(t *testing.T) {
			l, s, peer, exit := blockedLoop(t)
			ld := deposedLeader(l, s)
			writeText(t, peer, "x")
			steps(s, ld, func() { s.detachFor(ld.w, true, l.now()) })
			require.Equal(t, "x", <-s.entered)
			ld.afterDeposed()
			require.Equal(t, detached, s.mode(), "the goroutine has it")
			close(s.gate)
			awaitHandedBack(t, s)
			exit()
		})
	}
	t.Run("after it was handed back", func(t *testing.T) {
		l, s, peer, exit := blockedLoop(t)
		ld := deposedLeader(l, s)
		writeText(t, peer, "x")
		close(s.gate)
		s.dispatch(inline)
		require.Equal(t, "x", <-s.entered)
		awaitHandedBack(t, s)
		s.handBack(inline)
		s.detachFor(ld.w, false, l.now())
		require.Equal(t, detached, s.mode(), "the watchdog can't know")
		ld.afterDeposed()
		require.Equal(t, inline, s.mode(), "the leader repairs it")
		exit()
	})
}

// The deposed leader is done before the watchdog has detached its socket.
func TestDeposedLeaderIsFaster(t *testing.T) {
	l, s, _, exit := blockedLoop(t)
	ld := deposedLeader(l, s)
	ld.afterDeposed()
	s.detachFor(ld.w, true, l.now())
	require.Equal(t, inline, s.mode(), "no owner would hand it back")
	s.detachFor(ld.w+8, true, l.now())
	require.Equal(t, detached, s.mode(), "another event")
	ld.w += 8
	ld.afterDeposed()
	require.Equal(t, slow, s.mode())
	close(s.gate)
	exit()
}

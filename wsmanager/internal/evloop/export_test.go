//go:build linux

package evloop

import (
	"syscall"
	"time"
)

// WithWatchdog returns options with a watchdog that ticks at the given interval.
func WithWatchdog(tick, maxEventTime time.Duration) Options {
	return Options{tick: tick, shortTick: tick, maxEventTime: maxEventTime}
}

// DeposingAlways returns options with a watchdog that deposes the leader at every second
// tick, blocked or not, and that does not record it.
func DeposingAlways(tick time.Duration) Options {
	return Options{tick: tick, shortTick: tick, deposeAlways: true}
}

// The modes that Socket.Mode returns.
const (
	Inline   = inline
	Slow     = slow
	Detached = detached
)

// Mode returns the socket's mode.
func (s *Socket) Mode() uint32 { return s.state.Load() & modeMask }

// Ending reports whether the owner has begun to end the socket.
func (s *Socket) Ending() bool { return s.state.Load()&ending != 0 }

// Descriptor returns the socket's descriptor and generation, 0 before Add.
func (s *Socket) Descriptor() (fd int, gen uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.fd), s.gen
}

// Inject makes the leader serve an event that the kernel did not send.
func (l *Loop) Inject(fd int, gen, events uint32) {
	l.posts.add(l.wakefd, syscall.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(gen)})
}

// KickEvent is the event of Socket.Kick.
const KickEvent = kickEvent

// The states for Loop.SetBreaker.
const (
	BreakerClosed = breakerClosed
	BreakerOpen   = breakerOpen
)

// SetBreaker sets the breaker's state until the next tick of the watchdog.
func (l *Loop) SetBreaker(state uint32) { l.breaker.state.Store(state) }

// WatchdogParked reports whether the watchdog sleeps.
func (l *Loop) WatchdogParked() bool { return l.watchdog.parked.Load() }

// WithoutMetrics removes the scheduler's metrics, as in a Go release before 1.26.
func (l *Loop) WithoutMetrics() {
	for i := range l.watchdog.samples {
		l.watchdog.samples[i].Name = "/none:goroutines"
	}
}

//go:build linux

package evloop

import (
	"syscall"
	"time"
)

// Watched are options with a watchdog that looks that often.
func Watched(tick, hold time.Duration) Options {
	return Options{tick: tick, shortTick: tick, hold: hold}
}

// Nervous are options with a watchdog that deposes, at one look in two, whoever
// leads, and draws no conclusions from it.
func Nervous(tick time.Duration) Options {
	return Options{tick: tick, shortTick: tick, nervous: true}
}

// The modes, for Socket.Mode.
const (
	Inline   = inline
	Slow     = slow
	Detached = detached
)

// Mode is the socket's mode.
func (s *Socket) Mode() uint32 { return s.state.Load() & modeMask }

// Ending reports whether the owner has begun to end the socket.
func (s *Socket) Ending() bool { return s.state.Load()&ending != 0 }

// Descriptor is the socket's descriptor and generation, 0 before Add.
func (s *Socket) Descriptor() (fd int, gen uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.fd), s.gen
}

// Inject has the leader serve an event that no kernel sent.
func (l *Loop) Inject(fd int, gen, events uint32) {
	l.posts.add(l.wakefd, syscall.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(gen)})
}

// KickEvent is the event of Socket.Kick.
const KickEvent = kickEvent

// The moods, for Loop.Tell.
const (
	Calm      = calm
	Retreated = retreated
)

// Tell sets the mood, until the watchdog looks.
func (l *Loop) Tell(mood uint32) { l.mood.level.Store(mood) }

// Parked reports whether the watchdog sleeps.
func (l *Loop) Parked() bool { return l.watchdog.parked.Load() }

// WithoutMetrics takes the scheduler's metrics away, as an older Go does.
func (l *Loop) WithoutMetrics() {
	for i := range l.watchdog.samples {
		l.watchdog.samples[i].Name = "/none:goroutines"
	}
}

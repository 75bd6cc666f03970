package evloop

import (
	"log"
	"time"
)

// Options configure a Loop. The zero value has the defaults.
type Options struct {
	// Logf logs errors that no Handler can get: a panic in End, or an error of epoll
	// itself. nil: log.Printf.
	Logf func(format string, args ...any)

	// FollowUp, if set, is called after Data has returned, on the same goroutine, for work
	// that needs no socket. The socket has no owner then, so its handler may be called
	// meanwhile, and FollowUp for one socket may run on several goroutines. It may block as
	// Data may: the loop continues without it, and so does the socket. It does not run after a
	// Data that has panicked or ended its goroutine. If it panics, the panic is logged.
	FollowUp func(h Handler)

	// The remaining fields are for tests.

	tick         time.Duration // interval of the watchdog; 0: 4 ms
	shortTick    time.Duration // interval while the leader may be stuck; 0: 1 ms
	maxEventTime time.Duration // longest event of a leader that is not known to block; 0: 5 ms
	deposeAlways bool          // depose a leader that is in one event at two ticks, blocked or not, without recording it
}

func (o Options) withDefaults() Options {
	if o.Logf == nil {
		o.Logf = log.Printf
	}
	fill := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
	}
	fill(&o.tick, 4*time.Millisecond)
	fill(&o.shortTick, time.Millisecond)
	fill(&o.maxEventTime, 5*time.Millisecond)
	return o
}

// Stats is a snapshot of a Loop's counters.
type Stats struct {
	Sockets    int // added and not ended
	Goroutines int // of the loop: the leader, and one for each handler that runs apart from it

	Depositions  uint64 // leaders that were deposed
	Blocked      uint64 // of those, leaders that had given up their processor: they blocked and did not compute
	HalfOpenings uint64 // times that the breaker became half-open: sockets without a streak go to goroutines
	Openings     uint64 // times that the breaker opened: all sockets go to goroutines
}

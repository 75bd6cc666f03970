package evloop

import (
	"log"
	"time"
)

// Options are what may be chosen about a Loop. The zero value is right.
type Options struct {
	// Logf is told what no Handler can be told: a panic in End, an error of epoll
	// itself. nil: log.Printf.
	Logf func(format string, args ...any)

	// What follows is for tests.

	tick      time.Duration // between two looks of the watchdog; 0: 4 ms
	shortTick time.Duration // the same while something may be stuck; 0: 1 ms
	hold      time.Duration // how long an event may take if nothing says that it blocks; 0: 5 ms
	nervous   bool          // depose whoever serves one event at two looks, blocked or not, and draw no conclusions
}

func (o Options) filled() Options {
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
	fill(&o.hold, 5*time.Millisecond)
	return o
}

// Stats is what a Loop has done and has.
type Stats struct {
	Sockets    int // added and not yet ended
	Goroutines int // of the loop's own: the leader, and one for each handler that runs apart from it

	Depositions uint64 // times that a leader was left behind with its socket
	Blocked     uint64 // of those, the ones whose leader had given up its processor: it blocked, it did not compute
	Suspicions  uint64 // times that the loop became suspicious of unproven sockets
	Retreats    uint64 // times that the loop gave all sockets to goroutines
}

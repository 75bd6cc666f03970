package main

import (
	"syscall"
	"time"
)

// nap sleeps for a time below coarse. Go's timers wake up to a millisecond late when
// nothing else goes on, as epoll counts in milliseconds; the kernel's own come within
// some 60 µs.
func nap(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // a signal may end it: the caller looks at the clock
}

// coarse is how long a sleep has to be for one of Go's timers to be good enough; the
// rest of it is a nap.
const coarse = 2 * time.Millisecond

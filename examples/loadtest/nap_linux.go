package main

import (
	"syscall"
	"time"
)

// nap sleeps for less than coarse. Go's timers fire up to a millisecond late in an idle
// process, because epoll counts milliseconds. Those of the kernel fire within some 60 µs.
func nap(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // a signal may interrupt it: the caller checks the clock
}

// coarse is the time before the end of a sleep for which a timer of Go is not precise enough.
const coarse = 2 * time.Millisecond

//go:build unix

package main

import (
	"math"
	"syscall"
	"time"
)

// descriptors returns the limit of open files. Go's runtime has raised the soft limit to the
// hard one.
func descriptors() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxUint64
	}
	return uint64(l.Cur) //nolint:unconvert // Cur is signed on some systems
}

// processorTime returns the user and system time of this process, or 0 if it is unknown.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

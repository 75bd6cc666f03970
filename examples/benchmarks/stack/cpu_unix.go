//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used up so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no other failure than a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

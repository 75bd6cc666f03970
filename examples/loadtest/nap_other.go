//go:build !linux

package main

import "time"

// nap sleeps for a time below coarse.
func nap(d time.Duration) { time.Sleep(d) }

// coarse is how long a sleep has to be for one of Go's timers: here they do for all.
const coarse = 0

//go:build !linux

package main

import "time"

// nap sleeps.
func nap(d time.Duration) { time.Sleep(d) }

// coarse is 0: timers of Go are used for the whole sleep.
const coarse = 0

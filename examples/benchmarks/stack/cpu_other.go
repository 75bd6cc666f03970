//go:build !unix

package main

import "time"

var began = time.Now()

// cpuTime is the time that has passed: on a machine with nothing else to do, next
// to the same.
func cpuTime() time.Duration { return time.Since(began) }

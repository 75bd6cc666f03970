//go:build !unix

package harness

import "time"

var started = time.Now()

// OwnCPU returns the time since the program started: package syscall has no processor
// time on this system.
func OwnCPU() time.Duration { return time.Since(started) }

//go:build !unix

package harness

import "time"

var began = time.Now()

// OwnCPU is the time that has passed: on a machine with nothing else to do, next to what
// this process has used of the processor.
func OwnCPU() time.Duration { return time.Since(began) }

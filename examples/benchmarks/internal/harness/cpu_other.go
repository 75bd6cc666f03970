//go:build !unix

package harness

import "time"

// OwnCPU is the processor time that this process has used: not known here.
func OwnCPU() time.Duration { return 0 }

//go:build !unix

package wsmanager_test

import "time"

// cpuTime returns 0: this system has no such measurement.
func cpuTime() time.Duration { return 0 }

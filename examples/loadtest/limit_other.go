//go:build !unix

package main

import (
	"math"
	"time"
)

// descriptors returns the limit of open files, which this system does not have.
func descriptors() uint64 { return math.MaxUint64 }

// processorTime returns 0: the processor time of this process is unknown.
func processorTime() time.Duration { return 0 }

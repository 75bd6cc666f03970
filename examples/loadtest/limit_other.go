//go:build !unix

package main

import (
	"math"
	"time"
)

// descriptors returns how many files this process may have open: there is no limit to
// ask for.
func descriptors() uint64 { return math.MaxUint64 }

// processorTime returns what this process has used, 0 if that is not known.
func processorTime() time.Duration { return 0 }

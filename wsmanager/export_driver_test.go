package wsmanager

import "errors"

// HasLoops reports whether this system has event loops.
func HasLoops() bool {
	_, err := newLoopPool(nil)
	return !errors.Is(err, errors.ErrUnsupported)
}

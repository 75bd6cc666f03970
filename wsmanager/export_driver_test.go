package wsmanager

import "errors"

// HasLoops reports whether there are event loops on this system.
func HasLoops() bool {
	_, err := newLoopPool(nil)
	return !errors.Is(err, errors.ErrUnsupported)
}

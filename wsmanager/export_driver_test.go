package wsmanager

import "errors"

// AutoDriver is what DriverAuto means now.
func AutoDriver() Driver { return autoDriver }

// HasLoops reports whether there are event loops on this system.
func HasLoops() bool {
	_, err := newLoops(nil)
	return !errors.Is(err, errors.ErrUnsupported)
}

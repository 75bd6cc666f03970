package wsmanager

import (
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// HasLoops reports whether this system has event loops.
func HasLoops() bool {
	_, err := evloop.NewPool(evloop.Options{})
	return !errors.Is(err, errors.ErrUnsupported)
}

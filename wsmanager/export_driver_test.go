package wsmanager

import (
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// HasLoops reports whether there are event loops on this system.
func HasLoops() bool {
	_, err := evloop.NewPool(evloop.Options{})
	return !errors.Is(err, errors.ErrUnsupported)
}

package msgpack

import (
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// maxDepth limits the nesting of arrays and maps in a value, because decoding recurses.
const maxDepth = 1000

var errTooDeep = errors.New("arrays and maps are nested too deeply")

// skip checks all lengths and the nesting in a value and returns the data after it. It does not recurse.
func skip(p []byte) (rest []byte, err error) {
	var buf [16]uint64 // avoids an allocation for usual values
	open := buf[:0]    // for each enclosing array or map: the number of values after the present one
	left := uint64(1)
	for {
		for left == 0 {
			if len(open) == 0 {
				return p, nil
			}
			left, open = open[len(open)-1], open[:len(open)-1]
		}
		left--
		var h mpack.Header
		if h, p, err = mpack.Read(p); err != nil {
			return nil, err
		}
		contained := uint64(0)
		switch h.Kind {
		case mpack.String, mpack.Binary, mpack.Extension:
			p = p[h.N:]
		case mpack.Array:
			contained = h.N
		case mpack.Map:
			contained = 2 * h.N
		}
		if contained > uint64(len(p)) { // each value has at least one byte
			return nil, mpack.ErrTruncated
		}
		if contained > 0 {
			if len(open) == maxDepth {
				return nil, errTooDeep
			}
			open = append(open, left)
			left = contained
		}
	}
}

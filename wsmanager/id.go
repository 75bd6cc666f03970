package wsmanager

import (
	"crypto/rand"
	"encoding/base32"
	"sync"
)

// idBytes is 128 bits.
const idBytes = 16

// idText is an alphabet that survives every case and place that ids are put in.
var idText = base32.StdEncoding.WithPadding(base32.NoPadding)

// randomness is what the system gives at once: asking it for each connection
// costs more than all else that an id does.
type randomness struct {
	bytes [32 * idBytes]byte
	used  int
}

var randomnesses = sync.Pool{New: func() any { return &randomness{used: 32 * idBytes} }}

// newID makes a connection's id.
func newID() string {
	r := randomnesses.Get().(*randomness)
	if r.used == len(r.bytes) {
		_, _ = rand.Read(r.bytes[:]) // never fails: see its documentation
		r.used = 0
	}
	var text [26]byte
	part := r.bytes[r.used : r.used+idBytes]
	idText.Encode(text[:], part)
	clear(part)
	r.used += idBytes
	randomnesses.Put(r)
	return string(text[:])
}

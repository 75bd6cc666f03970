package wsmanager

import (
	"crypto/rand"
	"encoding/base32"
	"sync"
)

// idBytes is 128 bits.
const idBytes = 16

// idText has upper-case letters and digits only, so that ids need no escaping in URLs, file
// names and topics.
var idText = base32.StdEncoding.WithPadding(base32.NoPadding)

// randomBytes has the random bytes of several ids. A system call for each id would be most
// of its cost.
type randomBytes struct {
	bytes [32 * idBytes]byte
	used  int
}

var randomPool = sync.Pool{New: func() any { return &randomBytes{used: 32 * idBytes} }}

// newID makes a random id.
func newID() string {
	r := randomPool.Get().(*randomBytes)
	if r.used == len(r.bytes) {
		_, _ = rand.Read(r.bytes[:]) // its documentation says that it never fails
		r.used = 0
	}
	var text [26]byte
	id := r.bytes[r.used : r.used+idBytes]
	idText.Encode(text[:], id)
	clear(id)
	r.used += idBytes
	randomPool.Put(r)
	return string(text[:])
}

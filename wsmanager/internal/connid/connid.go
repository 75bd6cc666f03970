package connid

import (
	"crypto/rand"
	"encoding/base32"
	"sync"
)

// size is the length of an id in bytes: 128 bits.
const size = 16

// Encoding is the text form of ids. It has upper-case letters and digits only, so that they
// need no escaping in URLs, file names and topics.
var Encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// randomBytes has the random bytes of several ids. A system call for each id would be most
// of its cost.
type randomBytes struct {
	bytes [32 * size]byte
	used  int
}

var randomPool = sync.Pool{New: func() any { return &randomBytes{used: 32 * size} }}

// Length is the length of the text of an id.
const Length = 26

// New makes a random id of upper-case letters and digits. It is safe for concurrent use.
func New() string {
	r := randomPool.Get().(*randomBytes)
	if r.used == len(r.bytes) {
		_, _ = rand.Read(r.bytes[:]) // its documentation says that it never fails
		r.used = 0
	}
	var text [Length]byte
	id := r.bytes[r.used : r.used+size]
	Encoding.Encode(text[:], id)
	clear(id)
	r.used += size
	randomPool.Put(r)
	return string(text[:])
}

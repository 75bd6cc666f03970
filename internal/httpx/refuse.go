package httpx

import (
	"io"
	"net/http"
	"strings"
)

// CloseAfterAnswer makes net/http close an HTTP/1 connection after the answer, without reading
// the rest of the request's body first, and wait then for half a second, so that the client
// can read the answer. w must be net/http's own writer. net/http has no function for it, but
// an http.MaxBytesReader beyond its limit does it.
func CloseAfterAnswer(w http.ResponseWriter) {
	var one [1]byte
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(one[:]) // fails on purpose
}

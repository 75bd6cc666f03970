package pipeline

import "net/http"

// IsFast reports whether w is the hand-written wrap.
func IsFast(w http.ResponseWriter) bool {
	switch w.(type) {
	case *http1Writer, *http2Writer:
		return true
	}
	return false
}

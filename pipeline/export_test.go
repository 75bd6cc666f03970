package pipeline

import (
	"net/http"
	"testing"
)

// ForceHooks sends every writer through httpsnoop for the time of a test.
func ForceHooks(t testing.TB) {
	forceHooks = true
	t.Cleanup(func() { forceHooks = false })
}

// IsFast reports whether w is a wrap written by hand.
func IsFast(w http.ResponseWriter) bool {
	switch w.(type) {
	case *http1Writer, *http2Writer:
		return true
	}
	return false
}

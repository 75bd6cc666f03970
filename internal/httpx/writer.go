package httpx

import "net/http"

// MaxWriters is how many writers of a chain the functions of this package look at. A
// writer whose Unwrap returns itself makes an endless chain.
const MaxWriters = 64

// Unwrapper is an http.ResponseWriter that tells which writer it wraps, as
// http.ResponseController expects.
type Unwrapper interface{ Unwrap() http.ResponseWriter }

// Unwrap returns the writer that w wraps, or nil if w does not tell.
func Unwrap(w http.ResponseWriter) http.ResponseWriter {
	u, ok := w.(Unwrapper)
	if !ok {
		return nil
	}
	return u.Unwrap()
}

// Innermost returns the last writer of the chain that begins with w. That is
// net/http's own if every component has an Unwrap method.
func Innermost(w http.ResponseWriter) http.ResponseWriter {
	for range MaxWriters {
		below := Unwrap(w)
		if below == nil {
			break
		}
		w = below
	}
	return w
}

// Depth returns at which depth of the chain a writer matches first: 0 is w itself, -1
// means none.
func Depth(w http.ResponseWriter, match func(http.ResponseWriter) bool) int {
	for depth := 0; depth < MaxWriters && w != nil; depth++ {
		if match(w) {
			return depth
		}
		w = Unwrap(w)
	}
	return -1
}

// IsHijacker reports whether w itself is an http.Hijacker.
func IsHijacker(w http.ResponseWriter) bool {
	_, ok := w.(http.Hijacker)
	return ok
}

// IsFlusher reports whether w itself can flush: it is an http.Flusher or has
// FlushError.
func IsFlusher(w http.ResponseWriter) bool {
	switch w.(type) {
	case http.Flusher, interface{ FlushError() error }:
		return true
	}
	return false
}

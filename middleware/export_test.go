package middleware

import "net/http"

// IsUnambiguousName is StaticFiles' check of names, for both families of systems.
var IsUnambiguousName = isUnambiguousName

// MaxHashes is the bound of the hashes that StaticFiles stores.
const MaxHashes = maxHashes

// StoredHashes returns the number of hashes that a handler of StaticFiles stores.
func StoredHashes(h http.Handler) int {
	s := h.(*staticFiles)
	s.hashes.mu.Lock()
	defer s.hashes.mu.Unlock()
	return len(s.hashes.byName)
}

// IsHashedName is StaticFiles' check of names for hashes.
var IsHashedName = isHashedName

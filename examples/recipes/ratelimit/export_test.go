package ratelimit

import (
	"net/http"
	"net/netip"
)

// Client is the key of a request's bucket.
func Client(r *http.Request) netip.Prefix { return client(r) }

// Buckets returns the buckets behind a limit, to count them.
type Buckets struct{ b *buckets }

func NewBuckets(opts Options) Buckets { return Buckets{newBuckets(opts)} }

// Take reports whether the client gets a token.
func (b Buckets) Take(addr string) bool {
	return b.b.take(client(&http.Request{RemoteAddr: addr})) == 0
}

func (b Buckets) Len() int { return len(b.b.young) + len(b.b.old) }

// Package ratelimit is the recipe for limits by client with
// golang.org/x/time/rate: a token bucket for each client address, and 429 with
// Retry-After where it is empty.
//
// # Order
//
// Behind AccessLog, which should know of the 429s, and before whatever costs
// something: authentication, compression, WebSocket handshakes. UseWhen limits
// some requests only, handshakes say; match Upgrade by its presence, because its
// value ("websocket", "WebSocket", "websocket, h2c") is the client's to spell:
//
//	app.UseWhen(branch.Header("Upgrade"), func(b *pipeline.Builder) {
//		b.Use(ratelimit.PerClient(ratelimit.Options{Every: time.Second, Burst: 5}))
//	})
//
// What a client sends on its open socket is the WebSocket manager's to limit.
//
// # Traps
//
//   - Behind a proxy r.RemoteAddr is the proxy's: all clients share one bucket. Put
//     middleware.Forwarded in front, which restores the client's address, and let
//     it trust that proxy only; a limit by an X-Forwarded-For that anybody may send
//     limits nobody.
//   - One client may own 2^64 IPv6 addresses: it is the /64 that has a bucket.
//   - A map of limiters without eviction is a leak that strangers control.
//   - The limits are those of one process.
package ratelimit

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/speakingtube/speakingtube/pipeline"
)

// Options configure [PerClient].
type Options struct {
	// Every is how often a client gets a request more. Required.
	Every time.Duration

	// Burst is how many requests a client may send at once after a pause.
	// Default: 1.
	Burst int

	// MaxClients bounds the memory: at most twice as many buckets are kept. A
	// bucket is forgotten when it would be full again, so that a client gains
	// nothing by it, or earlier if there are more clients than this. Default:
	// 10,000, which is about 3 MB.
	MaxClients int
}

// PerClient makes the component. Its buckets are shared by all requests that run
// through the handlers it makes.
//
//go:noinline
func PerClient(opts Options) pipeline.Middleware {
	if opts.Burst == 0 {
		opts.Burst = 1
	}
	if opts.MaxClients == 0 {
		opts.MaxClients = 10_000
	}
	b := newBuckets(opts)
	return func(next http.Handler) http.Handler {
		if opts.Every <= 0 || opts.Burst < 0 || opts.MaxClients < 0 {
			panic(&pipeline.ConfigError{Component: "ratelimit.PerClient", Problem: "Every must be positive, Burst and MaxClients not negative"})
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			wait := b.take(client(r))
			if wait == 0 {
				next.ServeHTTP(w, r)
				return
			}
			seconds := int(math.Ceil(wait.Seconds())) // rounded down, it would come too early
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
			http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
		})
	}
}

// client is who pays for the request: an IPv4 address, or an IPv6 /64. Clients
// without an address (of a Unix socket, say) share one bucket.
func client(r *http.Request) netip.Prefix {
	addrPort, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	addr := addrPort.Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // never fails: bits fit the address
	return prefix
}

// buckets keeps the clients of two generations. The older one is dropped when the
// younger has lasted so long that every bucket in the older is full again, or
// when it has MaxClients. So forgetting costs nothing per request and needs no
// goroutine.
type buckets struct {
	limit  rate.Limit
	burst  int
	max    int
	refill time.Duration // an empty bucket is full after that

	mu       sync.Mutex // guards what follows
	young    map[netip.Prefix]*rate.Limiter
	old      map[netip.Prefix]*rate.Limiter
	youngest time.Time // when young was begun
}

func newBuckets(opts Options) *buckets {
	return &buckets{
		limit:    rate.Every(opts.Every),
		burst:    opts.Burst,
		max:      opts.MaxClients,
		refill:   time.Duration(opts.Burst) * opts.Every,
		young:    map[netip.Prefix]*rate.Limiter{},
		youngest: time.Now(),
	}
}

// take takes a token of the client's, or says how long there will be none.
func (b *buckets) take(who netip.Prefix) time.Duration {
	now := time.Now()
	r := b.of(who, now).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now) // it goes away: whoever insists is not punished further
	}
	return wait
}

func (b *buckets) of(who netip.Prefix, now time.Time) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.youngest) >= b.refill || len(b.young) >= b.max {
		if now.Sub(b.youngest) >= 2*b.refill {
			b.young = nil // hello again for so long that these are full as well
		}
		b.old, b.young, b.youngest = b.young, map[netip.Prefix]*rate.Limiter{}, now
	}
	l := b.young[who]
	if l == nil {
		if l = b.old[who]; l == nil {
			l = rate.NewLimiter(b.limit, b.burst)
		}
		b.young[who] = l
	}
	return l
}

// Package ratelimit is the recipe for limits by client with golang.org/x/time/rate: a token
// bucket for each client address, and 429 with Retry-After if it is empty.
//
// # Order
//
// It belongs behind AccessLog, which should log the 429s, and before expensive work:
// authentication, compression, WebSocket handshakes. UseWhen limits some requests only, for
// example handshakes; match Upgrade by its presence, because clients spell its value
// differently ("websocket", "WebSocket", "websocket, h2c"):
//
//	app.UseWhen(branch.Header("Upgrade"), func(b *pipeline.Builder) {
//		b.Use(ratelimit.PerClient(ratelimit.Options{Every: time.Second, Burst: 5}))
//	})
//
// The WebSocket manager limits the messages on an open socket.
//
// # Traps
//
//   - Behind a proxy r.RemoteAddr is the proxy's: all clients share one bucket. Put
//     middleware.Forwarded in front, which restores the client's address, and let it trust
//     only that proxy; a limit by an X-Forwarded-For from untrusted senders has no effect.
//   - One client may own 2^64 IPv6 addresses, so there is a bucket for each /64.
//   - A map of limiters without eviction is a leak that clients control.
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
	// Every is the interval at which a client gets one more request. Required.
	Every time.Duration

	// Burst is the number of requests that a client may send at once after a pause.
	// Default: 1.
	Burst int

	// MaxClients bounds the memory: at most twice as many buckets are kept. A bucket is
	// dropped when it would be full again, so that a client gains nothing from it, or
	// earlier if there are more clients than this. Default: 10,000, which is about 3 MB.
	MaxClients int
}

// PerClient makes the component. Its buckets are shared by all handlers that it makes.
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
			seconds := int(math.Ceil(wait.Seconds())) // rounded down, the retry would be too early
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
			http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
		})
	}
}

// client returns the key of the bucket: an IPv4 address, or an IPv6 /64. Clients without an
// address (for example on a Unix socket) share one bucket.
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

// buckets keeps the clients of two generations. The older one is dropped when the younger
// has lasted so long that every bucket in the older is full again, or when it has
// MaxClients. So dropping costs nothing per request and needs no goroutine.
type buckets struct {
	limit  rate.Limit
	burst  int
	max    int
	refill time.Duration // time after which an empty bucket is full

	mu       sync.Mutex // guards the fields below
	young    map[netip.Prefix]*rate.Limiter
	old      map[netip.Prefix]*rate.Limiter
	youngest time.Time // start of the generation young
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

// take takes a token of the client, or returns the time until there is one.
func (b *buckets) take(who netip.Prefix) time.Duration {
	now := time.Now()
	r := b.of(who, now).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now) // undone: a client that retries too early is not punished further
	}
	return wait
}

func (b *buckets) of(who netip.Prefix, now time.Time) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.youngest) >= b.refill || len(b.young) >= b.max {
		if now.Sub(b.youngest) >= 2*b.refill {
			b.young = nil // long enough that these are full as well
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

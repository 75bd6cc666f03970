package middleware

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// ThrottleOptions configure [Throttle].
type ThrottleOptions struct {
	// Limit is the number of requests that may run at the same time. Required.
	Limit int

	// Queue is the number of further requests that wait, the oldest first. Default: 0, a
	// request over the limit is refused at once.
	Queue int

	// MaxWait is the time after which a waiting request is refused. Default: 10 s.
	MaxWait time.Duration

	// Key returns the key of a request, such as a user or the client's address. Each key has
	// a limit and a queue of its own, for as long as it has requests. Requests with the key ""
	// are not limited. Default: all requests share one limit.
	Key func(*http.Request) string

	// RetryAfter is the Retry-After of a refusal, rounded up to seconds. Default: 1 s.
	RetryAfter time.Duration

	// Status is the status of a refusal. Default: 503, and 429 with a Key.
	Status int
}

// Throttle limits the number of requests that run at the same time. Requests over the limit
// wait in a queue, and are refused if that is full or they have waited too long: with 503 or
// 429 and a Retry-After, through [Fail]. A request ends when the next handler returns. So an
// upgraded connection is not counted after its handler has returned: for WebSockets use
// wsmanager's MaxConnections. A client that leaves gives up its place in the queue.
//
// It protects a service against more work than it can do. For limits of requests per second
// use a rate limiter, see examples/recipes. It belongs behind [AccessLog] and [HealthChecks].
//
// A request below the limit costs no allocation; one with a new key costs two.
//
// It corresponds to ASP.NET Core's concurrency limiter.
//
//go:noinline
func Throttle(opts ThrottleOptions) pipeline.Middleware {
	var bad configProblems
	t := newThrottle(opts, &bad)
	return func(next http.Handler) http.Handler {
		bad.report("middleware.Throttle")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := ""
			if t.Key != nil {
				if key = t.Key(r); key == "" {
					next.ServeHTTP(w, r)
					return
				}
			}
			if err := t.acquire(r, key); err != nil {
				Fail(w, r, err)
				return
			}
			defer t.release(key)
			next.ServeHTTP(w, r)
		})
	}
}

// throttle is the state of a Throttle.
type throttle struct {
	ThrottleOptions
	refusal *Problem

	mu   sync.Mutex
	keys map[string]*throttled // those with requests
	all  throttled             // without a Key
}

// throttled is the state of one key.
type throttled struct {
	running int
	waiting []*throttleTurn // the oldest first
}

// throttleTurn is a request that waits. come is closed, and granted set, when it may run.
type throttleTurn struct {
	come    chan struct{}
	granted bool
}

func newThrottle(opts ThrottleOptions, bad *configProblems) *throttle {
	if opts.Limit < 1 {
		bad.addf("Limit is %d: set it to the number of requests that may run at the same time", opts.Limit)
	}
	if opts.Queue < 0 {
		bad.addf("Queue is %d: set it to the number of requests that may wait, or leave it out for none", opts.Queue)
	}
	if opts.MaxWait < 0 || opts.MaxWait > 0 && opts.Queue == 0 {
		bad.addf("MaxWait is %v with a Queue of %d: a positive time needs a queue; 0 is 10 s", opts.MaxWait, opts.Queue)
	}
	if opts.RetryAfter < 0 {
		bad.addf("RetryAfter is %v: use a positive time, or leave it out for 1 s", opts.RetryAfter)
	}
	if opts.Status != 0 && (opts.Status < 400 || opts.Status > 599) {
		bad.addf("Status is %d: use one from 400 to 599, such as 503 or 429", opts.Status)
	}
	if opts.MaxWait == 0 {
		opts.MaxWait = 10 * time.Second
	}
	if opts.RetryAfter == 0 {
		opts.RetryAfter = time.Second
	}
	if opts.Status == 0 {
		opts.Status = http.StatusServiceUnavailable
		if opts.Key != nil {
			opts.Status = http.StatusTooManyRequests
		}
	}
	seconds := (opts.RetryAfter + time.Second - 1) / time.Second
	return &throttle{
		ThrottleOptions: opts,
		keys:            map[string]*throttled{},
		refusal: &Problem{
			Status: opts.Status,
			Detail: "too many requests are running",
			Header: http.Header{"Retry-After": {fmt.Sprint(int64(seconds))}},
		},
	}
}

// acquire waits until the request may run. The error is the answer.
func (t *throttle) acquire(r *http.Request, key string) error {
	t.mu.Lock()
	k := t.of(key)
	if k.running < t.Limit {
		k.running++
		t.mu.Unlock()
		return nil
	}
	if len(k.waiting) >= t.Queue {
		t.mu.Unlock()
		return t.refusal
	}
	turn := &throttleTurn{come: make(chan struct{})}
	k.waiting = append(k.waiting, turn)
	t.mu.Unlock()

	timer := time.NewTimer(t.MaxWait)
	defer timer.Stop()
	select {
	case <-turn.come:
		return nil
	case <-timer.C:
		if t.abandon(key, turn) {
			return t.refusal
		}
	case <-r.Context().Done():
		if t.abandon(key, turn) {
			return fmt.Errorf("middleware.Throttle: the request ended while it waited: %w", r.Context().Err())
		}
	}
	return nil // its turn came at the same time
}

// of returns the state of a key. t.mu is held.
func (t *throttle) of(key string) *throttled {
	if t.Key == nil {
		return &t.all
	}
	k := t.keys[key]
	if k == nil {
		k = &throttled{}
		t.keys[key] = k
	}
	return k
}

// abandon removes a waiting request from the queue. It returns false if the request may run.
func (t *throttle) abandon(key string, turn *throttleTurn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if turn.granted {
		return false
	}
	k := t.of(key)
	for i, other := range k.waiting {
		if other == turn {
			k.waiting = append(k.waiting[:i], k.waiting[i+1:]...)
			break
		}
	}
	return true
}

// release ends a request: the oldest waiting one takes its place.
func (t *throttle) release(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.of(key)
	if len(k.waiting) > 0 {
		turn := k.waiting[0]
		k.waiting[0] = nil
		k.waiting = k.waiting[1:]
		turn.granted = true
		close(turn.come)
		return
	}
	if k.running--; k.running == 0 && t.Key != nil {
		delete(t.keys, key)
	}
}

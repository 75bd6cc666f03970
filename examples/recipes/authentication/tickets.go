package authentication

import (
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Tickets are valid for one handshake each, for a short time. They are for browsers, whose
// scripts can send credentials with a fetch, but not with a WebSocket:
//
//	const ticket = await (await fetch("/ticket", {method: "POST", headers: {Authorization: "Bearer " + token}})).text()
//	new WebSocket("wss://" + location.host + "/ws?ticket=" + ticket)
//
// The handler of /ticket is an endpoint behind Require. Tickets are stored in this process:
// behind a load balancer, fetch and handshake must reach the same one.
type Tickets struct {
	lifetime time.Duration
	max      int

	mu    sync.Mutex // guards the fields below
	valid map[string]ticket
}

type ticket struct {
	id      Identity
	expires time.Time
}

// ErrTooManyTickets is returned by Issue while the maximum number of tickets is unused.
var ErrTooManyTickets = errors.New("authentication: too many unused tickets")

// NewTickets makes tickets that are valid for lifetime, at most limit at a time.
func NewTickets(lifetime time.Duration, limit int) *Tickets {
	return &Tickets{lifetime: lifetime, max: limit, valid: map[string]ticket{}}
}

// Issue returns a new ticket for id.
func (t *Tickets) Issue(id Identity) (string, error) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.valid) >= t.max {
		for key, old := range t.valid {
			if !now.Before(old.expires) {
				delete(t.valid, key)
			}
		}
	}
	if len(t.valid) >= t.max {
		return "", ErrTooManyTickets
	}
	key := rand.Text() // 128 bits
	t.valid[key] = ticket{id, now.Add(t.lifetime)}
	return key, nil
}

// ServeHTTP issues a ticket to the request's user. It accepts POST only, because a ticket
// must not come from a cache.
func (t *Tickets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, ok := From(r)
	switch {
	case !ok:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	key, err := t.Issue(id)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(key)) // a client that has left needs no ticket
}

// Query is the scheme: a ticket in the query parameter ticket of a handshake. Looking it up
// uses it up. A lookup in a map is not a timing leak: it could only reveal a value that is
// valid once.
func (t *Tickets) Query() Scheme {
	return Scheme{Identify: func(r *http.Request) (Identity, bool) {
		if !isHandshake(r) {
			return Identity{}, false
		}
		key := r.URL.Query().Get("ticket")
		t.mu.Lock()
		defer t.mu.Unlock()
		found, ok := t.valid[key]
		delete(t.valid, key)
		if !ok || !time.Now().Before(found.expires) {
			return Identity{}, false
		}
		return found.id, true
	}}
}

package hub

import (
	"container/list"
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"
)

// ticket is a negotiated connection. A client that has the token may make the connection once.
type ticket struct {
	// Immutable.
	token    string // a secret
	id       string // of the connection; other clients may know it
	user     string
	stateful bool
	expires  time.Time

	// Guarded by tickets.mu.
	conn    *conn         // nil until a handshake had the token
	waiting *list.Element // nil when the connection was made
}

// tickets holds the tickets that wait for their connection and those of connections that have not ended. Waiting tickets
// are limited in number and expire.
type tickets struct {
	lifetime time.Duration
	limit    int

	mu      sync.Mutex // guards all fields below
	byToken map[string]*ticket
	waiting list.List // of *ticket, the oldest first
}

// secret makes a text from 128 random bits that needs no escaping in a URL.
func secret() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// issue makes a ticket. In negotiation version 0 the token and the id are the same.
func (t *tickets) issue(user string, version int, stateful bool) *ticket {
	k := &ticket{token: secret(), id: secret(), user: user, stateful: stateful, expires: time.Now().Add(t.lifetime)}
	if version == 0 {
		k.id = k.token
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked()
	if t.waiting.Len() >= t.limit {
		t.removeLocked(t.waiting.Front().Value.(*ticket))
	}
	t.byToken[k.token] = k
	k.waiting = t.waiting.PushBack(k)
	return k
}

// expireLocked removes expired tickets. All tickets have the same lifetime, so the list is in order of expiry.
func (t *tickets) expireLocked() {
	now := time.Now()
	for e := t.waiting.Front(); e != nil; e = t.waiting.Front() {
		k := e.Value.(*ticket)
		if now.Before(k.expires) {
			return
		}
		t.removeLocked(k)
	}
}

func (t *tickets) removeLocked(k *ticket) {
	delete(t.byToken, k.token)
	if k.waiting != nil {
		t.waiting.Remove(k.waiting)
		k.waiting = nil
	}
}

// find returns the ticket with the token, or nil.
func (t *tickets) find(token string) *ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked()
	return t.byToken[token]
}

// claim returns the ticket's connection, which it makes if there is none. c is nil if the ticket was removed.
func (t *tickets) claim(k *ticket, newConn func() *conn) (c *conn, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byToken[k.token] != k {
		return nil, false
	}
	if k.conn != nil {
		return k.conn, false
	}
	k.conn = newConn()
	return k.conn, true
}

// used notes that the ticket's connection was made. The ticket then lasts as long as the connection.
func (t *tickets) used(k *ticket) {
	if k == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.waiting != nil {
		t.waiting.Remove(k.waiting)
		k.waiting = nil
	}
}

// remove makes a ticket's token invalid.
func (t *tickets) remove(k *ticket) {
	if k == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(k)
}

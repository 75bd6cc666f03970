package hub

import (
	"container/list"
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"
)

// ticket is a negotiated connection: who has its token may make it, once.
type ticket struct {
	// Static.
	token    string // a secret
	id       string // the connection's, which others may see
	user     string
	stateful bool
	expires  time.Time

	// Guarded by tickets.mu.
	conn    *conn         // nil until somebody came with the token
	waiting *list.Element // nil once the connection was made
}

// tickets holds those that wait for their connection, and those of connections that
// have not ended. The waiting ones are bounded in time and number.
type tickets struct {
	lifetime time.Duration
	limit    int

	mu      sync.Mutex // guards what follows
	byToken map[string]*ticket
	waiting list.List // of *ticket, the oldest first
}

// secret makes 128 bits of random text that needs no escaping in a URL.
func secret() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: see its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// issue makes a ticket. Clients of negotiation version 0 know one id for everything:
// their token is the id.
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

// expireLocked drops those whose time is over. They stand in the order of their ends.
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

// find returns the ticket with the token, nil if there is none (any more).
func (t *tickets) find(token string) *ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked()
	return t.byToken[token]
}

// claim gives the ticket's connection: the one that is there, or else a fresh one.
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

// made notes that the ticket's connection was made: it lasts as long as that.
func (t *tickets) made(k *ticket) {
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

// remove ends a ticket, whose token is unknown from then on.
func (t *tickets) remove(k *ticket) {
	if k == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(k)
}

package token

import (
	"container/heap"
	"sync"
	"time"
)

// Record holds the connections that tokens have begun, of type C, and the tokens that must not be used again. It is safe
// for concurrent use.
//
// A token that was used is remembered until it expires. These are limited in number. At the limit the Record forgets the
// oldest, and from then on it refuses all tokens that are as old or older, because any of them may be one that it has
// forgotten: when connections begin and end very fast, tokens are valid for a shorter time. Connections that last are not
// limited, and tokens that were not used take no memory.
type Record[C comparable] struct {
	lifetime time.Duration
	limit    int

	mu       sync.Mutex // guards all fields below
	live     map[ID]C
	used     map[ID]*use // nil while empty, because a map does not shrink
	oldest   useHeap     // all of used
	refused  time.Time   // tokens that were sealed up to this time are refused
	expiring *time.Timer // runs while used is not empty
}

// use is a token that has begun a connection whose socket has not connected yet, or whose connection has ended. It does not
// hold the connection: that of a socket which never connects is garbage.
type use struct {
	id     ID
	sealed time.Time
	index  int // in the heap
	ended  bool
}

// NewRecord makes a Record of tokens that may begin a connection for a time after they were sealed, and that remembers a
// limited number of used tokens.
func NewRecord[C comparable](lifetime time.Duration, limit int) *Record[C] {
	return &Record[C]{lifetime: lifetime, limit: limit, live: make(map[ID]C)}
}

// State says what a token may do.
type State uint8

// The states of a token.
const (
	Invalid   State = iota // it is expired, or its connection has ended
	Fresh                  // it may begin a connection
	Claimed                // it has begun a connection, whose socket has not connected
	Connected              // it has begun a connection, which has not ended
)

// Find returns the state of a token, and its connection if it is Connected.
func (r *Record[C]) Find(t *Token, now time.Time) (C, State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.findLocked(t, now)
}

func (r *Record[C]) findLocked(t *Token, now time.Time) (c C, s State) {
	if c, ok := r.live[t.ID]; ok {
		return c, Connected
	}
	r.expireLocked(now)
	switch u := r.used[t.ID]; {
	case u == nil:
	case u.ended:
		return c, Invalid
	default:
		return c, Claimed
	}
	// Clocks of nodes differ: a token may be sealed in the future, but not by more than its lifetime.
	if age := now.Sub(t.Sealed); age >= r.lifetime || age < -r.lifetime || !t.Sealed.After(r.refused) {
		return c, Invalid
	}
	return c, Fresh
}

// Claim is Find for a request that begins a connection if the token is Fresh. The token counts among the used tokens until
// Connect is called.
func (r *Record[C]) Claim(t *Token, now time.Time) (C, State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, s := r.findLocked(t, now)
	if s == Fresh {
		r.addLocked(&use{id: t.ID, sealed: t.Sealed}, now)
	}
	return c, s
}

// Connect notes that the connection of a token has a socket. The token then lasts as long as the connection. Connect returns
// Fresh, or why it has no effect: Invalid if the token has been ended, or Connected and the token's connection.
func (r *Record[C]) Connect(t *Token, c C) (other C, s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.live[t.ID]; ok {
		return other, Connected
	}
	if u := r.used[t.ID]; u != nil {
		if u.ended {
			return other, Invalid
		}
		heap.Remove(&r.oldest, u.index)
		r.forgetLocked(u)
	}
	r.live[t.ID] = c
	return other, Fresh
}

// Replace gives a token that is Connected another connection.
func (r *Record[C]) Replace(t *Token, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[t.ID] = c
}

// Release notes that c has ended without having been a connection, so that its token may begin one. It has no effect if the
// token has another connection.
func (r *Record[C]) Release(t *Token, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[t.ID] == c {
		r.removeLocked(t)
	}
}

// removeLocked removes the connection of a token.
func (r *Record[C]) removeLocked(t *Token) {
	if delete(r.live, t.ID); len(r.live) == 0 {
		r.live = make(map[ID]C) // a map does not shrink
	}
}

// End notes that the connection of a token has ended. Only the first call has an effect.
func (r *Record[C]) End(t *Token, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.live[t.ID]; !ok {
		if u := r.used[t.ID]; u != nil {
			u.ended = true
		}
		return
	}
	r.removeLocked(t)
	if now.Sub(t.Sealed) < r.lifetime {
		r.addLocked(&use{id: t.ID, sealed: t.Sealed, ended: true}, now)
	} else {
		r.refuseLocked(t.Sealed)
	}
}

// Remembered returns how many used tokens the Record remembers, without those of connections that last.
func (r *Record[C]) Remembered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.used)
}

func (r *Record[C]) addLocked(u *use, now time.Time) {
	r.expireLocked(now)
	if len(r.oldest) >= r.limit {
		r.popLocked()
	}
	if !u.sealed.After(r.refused) {
		return // refused without being remembered
	}
	if r.used == nil {
		r.used = make(map[ID]*use)
	}
	r.used[u.id] = u
	heap.Push(&r.oldest, u)
	if r.expiring == nil {
		r.expiring = time.AfterFunc(r.lifetime, r.expire)
	}
}

// expire frees the memory of tokens that have expired if no requests come.
func (r *Record[C]) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked(time.Now())
	if len(r.oldest) > 0 {
		r.expiring.Reset(r.lifetime)
	} else {
		r.expiring = nil
	}
}

func (r *Record[C]) expireLocked(now time.Time) {
	for len(r.oldest) > 0 && now.Sub(r.oldest[0].sealed) >= r.lifetime {
		r.popLocked()
	}
}

// popLocked forgets the oldest token. It is refused from then on, also if the clock is set back.
func (r *Record[C]) popLocked() {
	u := heap.Pop(&r.oldest).(*use)
	r.refuseLocked(u.sealed)
	r.forgetLocked(u)
}

func (r *Record[C]) refuseLocked(until time.Time) {
	if until.After(r.refused) {
		r.refused = until
	}
}

func (r *Record[C]) forgetLocked(u *use) {
	delete(r.used, u.id)
	if len(r.used) == 0 {
		r.used, r.oldest = nil, nil
	}
}

// useHeap has the token that was sealed first at its beginning.
type useHeap []*use

func (h useHeap) Len() int           { return len(h) }
func (h useHeap) Less(i, j int) bool { return h[i].sealed.Before(h[j].sealed) }

func (h useHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *useHeap) Push(x any) {
	u := x.(*use)
	u.index = len(*h)
	*h = append(*h, u)
}

// Pop implements heap.Interface.
func (h *useHeap) Pop() any {
	last := len(*h) - 1
	u := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return u
}

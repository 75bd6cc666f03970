package hub

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// kept holds the connections that may outlive their sockets, and their groups and
// users: a Manager forgets a connection with its socket. What is sent to many is sent
// to each of them, as each counts its messages.
type kept struct {
	maxGroups int
	count     atomic.Int64

	mu     sync.RWMutex // guards what follows
	conns  map[*conn]map[string]bool
	groups map[string]map[*conn]bool
	users  map[string]map[*conn]bool
}

func (k *kept) init(maxGroups int) {
	if maxGroups == 0 {
		maxGroups = 1000 // as wsmanager's
	}
	k.maxGroups = maxGroups
	k.conns = make(map[*conn]map[string]bool)
	k.groups = make(map[string]map[*conn]bool)
	k.users = make(map[string]map[*conn]bool)
}

func (k *kept) add(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count.Add(1)
	k.conns[c] = nil
	if c.who.User != "" {
		enter(k.users, c.who.User, c)
	}
}

func (k *kept) remove(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	names, ok := k.conns[c]
	if !ok {
		return
	}
	k.count.Add(-1)
	for name := range names {
		exit(k.groups, name, c)
	}
	exit(k.users, c.who.User, c)
	delete(k.conns, c)
}

func (k *kept) join(c *conn, group string) error {
	if n := len(group); n == 0 || n > wsmanager.MaxGroupName {
		return fmt.Errorf("hub: a group's name has %d bytes: 1 to %d are allowed", n, wsmanager.MaxGroupName)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	names, ok := k.conns[c]
	switch {
	case !ok:
		return ErrClosed
	case names[group]:
		return nil
	case len(names) >= k.maxGroups:
		return wsmanager.ErrTooManyGroups
	}
	if names == nil {
		names = make(map[string]bool)
		k.conns[c] = names
	}
	names[group] = true
	enter(k.groups, group, c)
	return nil
}

func (k *kept) leave(c *conn, group string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conns[c][group] {
		delete(k.conns[c], group)
		exit(k.groups, group, c)
	}
}

func enter(sets map[string]map[*conn]bool, name string, c *conn) {
	if sets[name] == nil {
		sets[name] = make(map[*conn]bool)
	}
	sets[name][c] = true
}

func exit(sets map[string]map[*conn]bool, name string, c *conn) {
	if delete(sets[name], c); len(sets[name]) == 0 {
		delete(sets, name)
	}
}

// members walks the kept connections among the receivers, under no lock. Those that
// are named by id were found already.
func (k *kept) members(r Receivers) iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		if r.set == connections || k.count.Load() == 0 {
			return
		}
		for _, c := range k.snapshot(r) {
			if !yield(c) {
				return
			}
		}
	}
}

func (k *kept) snapshot(r Receivers) []*conn {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var out []*conn
	take := func(c *conn) {
		if !slices.Contains(r.except, c.id) {
			out = append(out, c)
		}
	}
	sets := k.groups
	switch r.set {
	case everybody:
		for c := range k.conns {
			take(c)
		}
		return out
	case users:
		sets = k.users
	}
	seen := make(map[*conn]bool)
	for _, name := range r.names {
		for c := range sets[name] {
			if !seen[c] {
				seen[c] = true
				take(c)
			}
		}
	}
	return out
}

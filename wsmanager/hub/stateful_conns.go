package hub

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// statefulConns holds the connections that negotiated stateful reconnect, with their groups and users. A Manager cannot
// hold them, because it drops a connection together with its socket. A broadcast is sent to each of them separately,
// because each counts its own messages.
type statefulConns struct {
	maxGroups int
	count     atomic.Int64

	mu     sync.RWMutex              // guards all fields below
	conns  map[*conn]map[string]bool // the names of each connection's groups
	groups map[string]map[*conn]bool
	users  map[string]map[*conn]bool
}

// defaultMaxGroups is wsmanager's default of Limits.MaxGroups.
const defaultMaxGroups = 1000

func (s *statefulConns) init(maxGroups int) {
	if maxGroups == 0 {
		maxGroups = defaultMaxGroups
	}
	s.maxGroups = maxGroups
	s.conns = make(map[*conn]map[string]bool)
	s.groups = make(map[string]map[*conn]bool)
	s.users = make(map[string]map[*conn]bool)
}

func (s *statefulConns) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Add(1)
	s.conns[c] = nil
	if c.identity.User != "" {
		addMember(s.users, c.identity.User, c)
	}
}

func (s *statefulConns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, ok := s.conns[c]
	if !ok {
		return
	}
	s.count.Add(-1)
	for name := range names {
		removeMember(s.groups, name, c)
	}
	removeMember(s.users, c.identity.User, c)
	delete(s.conns, c)
}

func (s *statefulConns) join(c *conn, group string) error {
	if n := len(group); n == 0 || n > wsmanager.MaxGroupName {
		return fmt.Errorf("hub: the name of the group has %d bytes: it must have 1 to %d", n, wsmanager.MaxGroupName)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names, ok := s.conns[c]
	switch {
	case !ok:
		return ErrClosed
	case names[group]:
		return nil
	case len(names) >= s.maxGroups:
		return wsmanager.ErrTooManyGroups
	}
	if names == nil {
		names = make(map[string]bool)
		s.conns[c] = names
	}
	names[group] = true
	addMember(s.groups, group, c)
	return nil
}

func (s *statefulConns) leave(c *conn, group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c][group] {
		delete(s.conns[c], group)
		removeMember(s.groups, group, c)
	}
}

func addMember(sets map[string]map[*conn]bool, name string, c *conn) {
	if sets[name] == nil {
		sets[name] = make(map[*conn]bool)
	}
	sets[name][c] = true
}

func removeMember(sets map[string]map[*conn]bool, name string, c *conn) {
	if delete(sets[name], c); len(sets[name]) == 0 {
		delete(sets, name)
	}
}

// members yields the stateful connections among the receivers, without holding a lock. It yields nothing for receivers
// that are selected by connection id: Receivers.Send finds those itself.
func (s *statefulConns) members(r Receivers) iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		if r.selector == byConnection || s.count.Load() == 0 {
			return
		}
		for _, c := range s.snapshot(r) {
			if !yield(c) {
				return
			}
		}
	}
}

func (s *statefulConns) snapshot(r Receivers) []*conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*conn
	add := func(c *conn) {
		if !slices.Contains(r.except, c.id) {
			out = append(out, c)
		}
	}
	sets := s.groups
	switch r.selector {
	case allConnections:
		for c := range s.conns {
			add(c)
		}
		return out
	case byUser:
		sets = s.users
	}
	seen := make(map[*conn]bool)
	for _, name := range r.names {
		for c := range sets[name] {
			if !seen[c] {
				seen[c] = true
				add(c)
			}
		}
	}
	return out
}

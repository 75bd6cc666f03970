package hub

import "sync"

// signal is a condition variable that takes memory only once it has been waited for. Its mutex guards it.
type signal struct {
	mu   *sync.Mutex
	cond *sync.Cond // nil until Wait is called
}

// Wait is that of sync.Cond.
func (s *signal) Wait() {
	if s.cond == nil {
		s.cond = sync.NewCond(s.mu)
	}
	s.cond.Wait()
}

// Broadcast is that of sync.Cond. The caller holds the mutex.
func (s *signal) Broadcast() {
	if s.cond != nil {
		s.cond.Broadcast()
	}
}

//go:build linux

package evloop

// Take makes the caller the owner of a socket whose owner does not return: it is in Data,
// or owns the socket since AddOwned. From then on the previous owner touches nothing of the
// socket, whether its call returns, panics or ends the goroutine; the result of Data is
// ignored. The caller owns the socket as after AddOwned, until Release. It has to handle
// the bytes that the previous owner got and has not handled.
//
// The caller and the handler must make sure that the handler's call can't return before
// Take does. A previous owner from AddOwned must neither call Release nor end the socket.
//
// If Take returns false, nothing has changed: the socket still belongs to its leader, which
// the watchdog has not deposed yet, or it has ended.
func (s *Socket) Take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&(open|ending) != open || state&modeMask != detached {
		return false
	}
	h := s.handoffLocked()
	h.takeovers++
	h.event = 0
	s.recordSlow()
	return true
}

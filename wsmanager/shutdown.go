package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Shutdown ends the Manager: from now on handshakes are answered with 503, and
// every connection is closed with 1001 after what was sent to it; OnClose gets
// ErrShutdown. It waits until all connections have ended and all callbacks have
// returned, at most until ctx ends; then it cuts what is left and returns an
// error that says how many callbacks have not returned. A connection that does
// not answer is cut after Options.CloseTimeout in any case.
//
// With a backplane it then publishes what is queued for that and leaves the bus, by the
// same deadline; an error says what could not be published.
//
// Shutdown may be called more than once, also at the same time: each call waits.
// Don't wait for it inside a callback: it waits for that callback.
func (m *Manager) Shutdown(ctx context.Context) error {
	err := m.endConns(ctx)
	if m.bus != nil {
		err = errors.Join(err, m.bus.stop(ctx)) // farewells of OnClose are queued by now
	}
	return err
}

// endConns ends all connections.
func (m *Manager) endConns(ctx context.Context) error {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	if m.onShutdown != nil {
		m.onShutdown()
	}
	m.flushBatcher()
	for c := range walk(&m.registry) {
		c.session().close(&CloseError{Code: StatusGoingAway, Err: ErrShutdown}, closeGraceful)
	}
	if m.active.wait(ctx) {
		m.loops.wait(ctx)
		return nil
	}
	left := m.unended()
	for _, c := range left {
		c.session().cut(&CloseError{Code: StatusAbnormalClosure, Err: ErrShutdown})
	}
	// What is left needs no more than the processor, save the callbacks.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	ended := m.active.wait(grace)
	m.loops.wait(grace)
	if ended {
		return fmt.Errorf("wsmanager: shutdown: connections were cut: %w", context.Cause(ctx))
	}
	calls := m.accepting.Load()
	for _, c := range left {
		if c.in.dispatch.runs() {
			calls++
		}
	}
	if calls == 0 { // a handshake whose client does not read, say
		return fmt.Errorf("wsmanager: shutdown: connections were cut, and not all have ended: %w", context.Cause(ctx))
	}
	return fmt.Errorf("wsmanager: shutdown: connections were cut, and %d callbacks have not returned: %w", calls, context.Cause(ctx))
}

// unended returns the connections whose transport may be open.
func (m *Manager) unended() []*Conn {
	var conns []*Conn
	for c := range walk(&m.registry) { // first, because connections that leave it are in closing already
		conns = append(conns, c)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	conns = slices.DeleteFunc(conns, func(c *Conn) bool {
		_, ok := m.closing[c]
		return ok
	})
	return slices.AppendSeq(conns, maps.Keys(m.closing))
}

// shutdownGrace is how long after the deadline Shutdown waits for the ends of
// connections that it has cut.
const shutdownGrace = 500 * time.Millisecond

// admit counts a handshake that may become a connection. It returns ErrShutdown if
// Shutdown has begun, and a refusal above Options.MaxConnections.
func (m *Manager) admit() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return ErrShutdown
	}
	if limit := m.opts.MaxConnections; limit > 0 && m.admitted >= limit {
		return refuseLimit(limit)
	}
	m.admitted++
	m.active.add()
	return nil
}

// dismiss is the end of what admit has counted.
func (m *Manager) dismiss() {
	m.mu.Lock()
	m.admitted--
	m.mu.Unlock()
	m.active.done()
}

func (m *Manager) isDraining() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.draining
}

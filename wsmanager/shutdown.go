package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/admission"
)

// Shutdown ends the Manager: from now on handshakes are answered with 503, and each
// connection is closed with 1001 after the messages that were sent to it; OnClose gets
// ErrShutdown. Shutdown waits until all connections have ended and all callbacks have
// returned, at most until ctx ends. Then it cuts the remaining connections and returns an
// error that says how many callbacks have not returned. A connection that does not answer
// is cut after Options.Timeouts.Close in any case.
//
// With a backplane, Shutdown then publishes the queued messages and leaves the bus, within
// the same deadline. Its error says how many messages were not published.
//
// Shutdown may be called more than once, also at the same time: each call waits. A callback
// must not wait for it, because Shutdown waits for the callback.
func (m *Manager) Shutdown(ctx context.Context) error {
	err := m.endConns(ctx)
	if m.bus != nil {
		err = errors.Join(err, m.bus.stop(ctx)) // the messages that OnClose has sent are queued by now
	}
	return err
}

// endConns ends all connections.
func (m *Manager) endConns(ctx context.Context) error {
	m.admission.Drain()
	if m.onShutdown != nil {
		m.onShutdown()
	}
	m.broadcaster.FlushDeferred()
	for c := range m.All().Local() {
		c.session().close(&CloseError{Code: StatusGoingAway, Err: ErrShutdown}, closeGraceful)
	}
	if m.active.Wait(ctx) {
		m.loops.Wait(ctx)
		return nil
	}
	open := m.admission.Open(m.All().Local())
	for _, c := range open {
		c.session().cut(&CloseError{Code: StatusAbnormalClosure, Err: ErrShutdown})
	}
	// The ends of these connections need only the processor, except for callbacks.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	ended := m.active.Wait(grace)
	m.loops.Wait(grace)
	if ended {
		return fmt.Errorf("wsmanager: shutdown: connections were cut: %w", context.Cause(ctx))
	}
	calls := m.accepting.Load()
	for _, c := range open {
		if c.in.dispatch.runs() {
			calls++
		}
	}
	if calls == 0 { // for example a handshake whose client does not read
		return fmt.Errorf("wsmanager: shutdown: connections were cut, and not all have ended: %w", context.Cause(ctx))
	}
	return fmt.Errorf("wsmanager: shutdown: connections were cut, and %d callbacks have not returned: %w", calls, context.Cause(ctx))
}

// shutdownGrace is how long after the deadline Shutdown waits for the ends of
// connections that it has cut.
const shutdownGrace = 500 * time.Millisecond

// acquireSlot admits a handshake that may become a connection. It returns ErrShutdown after the
// beginning of Shutdown, and a refusal above Options.MaxConnections. The slot is released when
// the transport is closed.
func acquireSlot(m *Manager) error {
	switch m.admission.Acquire() {
	case admission.ErrDraining:
		return ErrShutdown
	case admission.ErrFull:
		return refuseLimit(m.admission.Limit())
	}
	return nil
}

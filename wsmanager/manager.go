package wsmanager

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Manager accepts WebSocket connections and manages them. It is an http.Handler,
// to be served at one path or more; all connections that it accepts are one set.
// Make one with [New]. All methods are safe for concurrent use.
type Manager struct {
	callbacks Callbacks
	opts      Options
	driver    driver

	registry registry
	wheel    wheel
	active   activity

	accepting atomic.Int64 // OnAccept calls that have not returned

	mu        sync.Mutex         // guards what follows
	draining  bool               // no new connections
	lingering map[*Conn]struct{} // out of the registry, transport still open
}

// New makes a Manager. It reports every mistake in the options at once. The
// Manager costs nothing until connections come; end it with Shutdown.
func New(cb Callbacks, opts Options) (*Manager, error) {
	return newManager(cb, opts, systemClock{})
}

// MustNew is New for options written as literals: it panics with all the
// mistakes.
func MustNew(cb Callbacks, opts Options) *Manager {
	m, err := New(cb, opts)
	if err != nil {
		panic(err)
	}
	return m
}

func newManager(cb Callbacks, opts Options, c clock) (*Manager, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Manager{callbacks: cb, opts: opts, driver: goroutineDriver{}, lingering: make(map[*Conn]struct{})}
	m.registry.init()
	m.wheel.init(c, min(opts.PingInterval, opts.IdleTimeout, opts.WriteTimeout, opts.CloseTimeout))
	m.active.idle = sync.NewCond(&m.active.mu)
	return m, nil
}

// Conn returns the connection with the id, or false if it is not (or no longer)
// registered.
func (m *Manager) Conn(id string) (*Conn, bool) {
	c := m.registry.get(id)
	return c, c != nil
}

// All walks the connections that are registered when the walk begins, in no
// particular order. Those that end meanwhile may still be seen. No lock is held
// while the loop's body runs.
func (m *Manager) All() iter.Seq[*Conn] { return m.registry.all() }

// Len returns how many connections are registered.
func (m *Manager) Len() int { return int(m.registry.count.Load()) }

// Send sends a message to one connection; see [Conn.Send]. It returns ErrNoConn
// if there is none with the id.
func (m *Manager) Send(id string, msg Message) error {
	c := m.registry.get(id)
	if c == nil {
		return ErrNoConn
	}
	return c.Send(msg)
}

// CloseConn begins to close one connection; see [Conn.Close]. It returns
// ErrNoConn if there is none with the id.
func (m *Manager) CloseConn(id string, code StatusCode, reason string) error {
	c := m.registry.get(id)
	if c == nil {
		return ErrNoConn
	}
	return c.Close(code, reason)
}

// Shutdown ends the Manager: from now on handshakes are answered with 503, and
// every connection is closed with 1001 after what was sent to it; OnClose gets
// ErrShutdown. It waits until all connections have ended and all callbacks have
// returned, at most until ctx ends; then it cuts what is left and returns an
// error that says how many callbacks have not returned. A connection that does
// not answer is cut after Options.CloseTimeout in any case.
//
// Shutdown may be called more than once, also at the same time: each call waits.
// Don't wait for it inside a callback: it waits for that callback.
func (m *Manager) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	for c := range m.registry.all() {
		c.close(&CloseError{Code: StatusGoingAway, Err: ErrShutdown}, closeGraceful)
	}
	if m.active.wait(ctx) {
		return nil
	}
	left := m.unended()
	for _, c := range left {
		c.mu.Lock()
		c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Err: ErrShutdown})
		c.mu.Unlock()
	}
	// What is left needs no more than the processor, save the callbacks.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if m.active.wait(grace) {
		return fmt.Errorf("wsmanager: shutdown: connections were cut: %w", context.Cause(ctx))
	}
	calls := m.accepting.Load()
	for _, c := range left {
		if c.calling.Load() {
			calls++
		}
	}
	return fmt.Errorf("wsmanager: shutdown: connections were cut, and %d callbacks have not returned: %w", calls, context.Cause(ctx))
}

// unended returns the connections whose transport may be open.
func (m *Manager) unended() []*Conn {
	conns := slices.Collect(m.registry.all())
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.AppendSeq(conns, maps.Keys(m.lingering))
}

// shutdownGrace is how long after the deadline Shutdown waits for the ends of
// connections that it has cut.
const shutdownGrace = 500 * time.Millisecond

// admit reports whether there is room for a connection, and counts it.
func (m *Manager) admit() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return false
	}
	m.active.add()
	return true
}

func (m *Manager) isDraining() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.draining
}

func (m *Manager) logger() *slog.Logger {
	if m.opts.Logger != nil {
		return m.opts.Logger
	}
	return slog.Default()
}

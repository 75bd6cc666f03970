package wsmanager

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/admission"
	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// Manager accepts WebSocket connections and manages them. It is an http.Handler that can be
// served at several paths; all its connections are one set. Make one with [New]. All methods
// are safe for concurrent use.
type Manager struct {
	callbacks  Callbacks
	opts       settings
	handshake  handshake.ServerConfig // made from opts
	loops      *evloop.Pool           // nil without event loops
	keys       *frame.MaskKeys        // nil on the server's side
	bus        *bus                   // nil without a backplane
	onShutdown func()                 // called when Shutdown begins; may be nil

	registry    allConns
	groups      broadcast.Groups[*broadcastConn]
	users       broadcast.Groups[*broadcastConn]
	broadcaster broadcast.Broadcaster[*broadcastConn]
	compressor  compressor
	admission   admission.Gate[*Conn]
	sending     sender.Config
	counters    counters.Counters
	wheel       timewheel.Wheel[*session]
	active      activity.Counter
	watch       watch

	carriers  atomic.Int64  // registered connections that carry others; see Carry
	accepting atomic.Int64  // OnAccept calls that have not returned
	joined    atomic.Uint32 // connections that were made
}

// New makes a Manager. Its error reports all mistakes in the options. The Manager starts no
// goroutine before its first connection, unless it has a backplane. End it with Shutdown.
func New(cb Callbacks, opts Options) (*Manager, error) {
	return newManager(cb, opts, timewheel.SystemClock{})
}

// MustNew is New for options that are written as literals: it panics with all mistakes.
func MustNew(cb Callbacks, opts Options) *Manager {
	m, err := New(cb, opts)
	if err != nil {
		panic(err)
	}
	return m
}

func newManager(cb Callbacks, opts Options, c timewheel.Clock) (*Manager, error) {
	s, err := opts.settings()
	if mistake := cb.check(); mistake != nil {
		err = errors.Join(mistake, err)
	}
	if err != nil {
		return nil, err
	}
	return startManager(cb, s, c)
}

// startManager makes the Manager of a server or a client.
func startManager(cb Callbacks, opts settings, c timewheel.Clock) (*Manager, error) {
	m := &Manager{callbacks: cb, opts: opts}
	m.handshake = handshake.ServerConfig{
		AllowedOrigins:    opts.AllowedOrigins,
		AllowOrigin:       opts.AllowOrigin,
		SecureOriginsOnly: opts.SecureOriginsOnly,
		AnyOrigin:         opts.DangerouslyAllowAnyOrigin,
	}
	if opts.Driver != DriverGoroutine {
		var err error
		if m.loops, err = evloop.NewPool(m.loopOptions()); err != nil && opts.Driver == DriverEventLoop {
			return nil, fmt.Errorf("wsmanager: DriverEventLoop: there is no event loop on this system, use DriverAuto: %w", err)
		}
	}
	m.registry.Init()
	m.groups.Init()
	m.users.Init()
	m.broadcaster.Init(&m.registry, &m.wheel.Ticker, &m.active, &m.counters)
	m.compressor = compressor{opts.Compression, &m.counters.Compression}
	m.admission.Init(opts.MaxConnections, &m.active)
	m.wheel.Init(c, min(opts.PingInterval, opts.IdleTimeout, opts.WriteTimeout, opts.ReadyTimeout, opts.CloseTimeout))
	m.watch.interval = watchInterval
	m.sending = sender.Config{
		MaxMessages: opts.OutboxMessages, MaxBytes: opts.OutboxBytes, StuckAfter: sender.StuckAfter,
		Ticker: &m.wheel.Ticker, Counters: &m.counters, Active: &m.active,
	}
	if opts.Backplane != nil {
		startBus(m)
	}
	return m, nil
}

// Conn returns the connection with the id, or false if it is not registered.
func (m *Manager) Conn(id string) (*Conn, bool) {
	c := m.registry.get(id)
	return c, c != nil
}

// Broadcast sends a message to all connections. It is short for All().Send: see
// [Audience.Send].
func (m *Manager) Broadcast(msg Message) Sent { return m.All().Send(msg) }

// Send sends a message to one connection; see [Conn.Send]. It returns ErrNoConn for an
// unknown id.
//
// With a backplane the connection may be on another node, which its id names. Then nil means
// that the message is queued for that node; if the connection has ended, or its outbox is
// full, that node counts it. Send returns ErrBackplane if the queue of the backplane is full,
// and ErrNoConn if no node can have the connection.
func (m *Manager) Send(id string, msg Message) error {
	c := m.registry.get(id)
	if c == nil {
		return m.bus.send(id, msg)
	}
	return c.Send(msg)
}

func (m *Manager) logger() *slog.Logger {
	if m.opts.Logger != nil {
		return m.opts.Logger
	}
	return slog.Default()
}

package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Hub is a set of connections whose clients call its methods, and are called by it.
// It is an http.Handler, to be served at a path and at what lies below that
// ("/hub" and "/hub/"). Make one with [New]. All methods are safe for concurrent use
// and may be called from inside methods and hooks, save waiting for Shutdown.
type Hub struct {
	opts    Options
	methods methodTable

	plain     *wsmanager.Manager // whose broadcasts reach all connections but the kept ones
	resumable *wsmanager.Manager // only sockets: connections of it are kept, and may have several in turn

	// What is asked for no WebSocket goes on to the handler behind.
	servePlain     http.Handler
	serveResumable http.Handler

	tickets tickets
	conns   sync.Map // of *conn by id, from handshake to end
	kept    kept
	running activity // goroutines of ours: calls, hooks, streams
	start   time.Time

	entering sync.RWMutex // held for reading while a handshake is answered; see conn.enter

	mu       sync.Mutex
	draining bool
}

// New makes a Hub. It reports every mistake in methods and options at once.
func New(methods Methods, opts Options) (*Hub, error) {
	table, err := newMethodTable(methods)
	opts, err2 := opts.withDefaults()
	h := &Hub{opts: opts, methods: table, start: time.Now()}
	h.tickets = tickets{lifetime: opts.NegotiationTimeout, limit: opts.MaxNegotiations, byToken: make(map[string]*ticket)}
	h.kept.init(opts.WebSocket.MaxGroups)
	callbacks := wsmanager.Callbacks{
		OnAccept: h.accept,
		OnConnect: func(ws *wsmanager.Conn) error {
			l, _ := wsmanager.Value[*link](ws)
			return l.connected(ws)
		},
		OnMessage: func(ws *wsmanager.Conn, m wsmanager.Message) error {
			l, _ := wsmanager.Value[*link](ws)
			l.conn.receive(ws, m)
			return nil
		},
		OnClose: func(ws *wsmanager.Conn, err error) {
			l, _ := wsmanager.Value[*link](ws)
			l.conn.socketClosed(ws, err)
		},
	}
	var err3, err4 error
	if err2 == nil { // else it would be told what it knows
		h.plain, err3 = wsmanager.New(callbacks, opts.WebSocket)
		ws := opts.WebSocket
		ws.SlowConsumer = wsmanager.SlowConsumerClose // nothing may be missing between two numbers
		ws.OutboxMessages = max(ws.OutboxMessages, ws.OutboxBytes/16, 1)
		ws.OutboxBytes = twice(ws.OutboxBytes) // what is replayed, and what comes on top
		h.resumable, err4 = wsmanager.New(callbacks, ws)
		if err3 != nil {
			err4 = nil // the same mistakes
		}
	}
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return nil, err
	}
	h.servePlain = h.plain.Middleware(http.HandlerFunc(h.noWebSocket))
	h.serveResumable = h.resumable.Middleware(http.HandlerFunc(h.noWebSocket))
	return h, nil
}

// MustNew is New for literals: it panics with all the mistakes.
func MustNew(methods Methods, opts Options) *Hub {
	h, err := New(methods, opts)
	if err != nil {
		panic(err)
	}
	return h
}

// Len returns how many connections there are, those included that may be resumed.
func (h *Hub) Len() (n int) {
	for range h.conns.Range {
		n++
	}
	return n
}

func (h *Hub) find(id string) *conn {
	c, ok := h.conns.Load(id)
	if !ok {
		return nil
	}
	return c.(*conn)
}

// now is the hub's time, for atomics.
func (h *Hub) now() time.Duration { return time.Since(h.start) }

func (h *Hub) logger() *slog.Logger {
	if h.opts.Logger != nil {
		return h.opts.Logger
	}
	return slog.Default()
}

func (h *Hub) baseContext() context.Context {
	if ctx := h.opts.WebSocket.BaseContext; ctx != nil {
		return ctx
	}
	return context.Background()
}

// Shutdown ends the hub: negotiations and handshakes are refused with 503, and every
// client is told by a Close message that it may connect again, to another server or to
// this one after its restart. The contexts of calls end. Shutdown waits until all
// connections have ended and all calls and hooks have returned, at most until ctx ends;
// then it cuts what is left and returns an error. Pass it to pipeline.Serve. Don't wait
// for it inside a method or hook.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.entering.Lock() // until each connection that was told so is one of the hub's
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	h.entering.Unlock()
	for _, c := range h.conns.Range {
		c.(*conn).close(&Close{AllowReconnect: true}, wsmanager.StatusNormalClosure, ErrShutdown)
	}
	var wg sync.WaitGroup
	var errs [2]error
	for i, m := range []*wsmanager.Manager{h.plain, h.resumable} {
		wg.Go(func() { errs[i] = m.Shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs[0], errs[1], h.running.wait(ctx))
}

func (h *Hub) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

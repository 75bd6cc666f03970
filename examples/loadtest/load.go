package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// load is one run: connect, send, wait for messages in flight, close.
type load struct {
	cfg    *config
	dialer *wsmanager.Dialer
	codec  *codec
	pace   pace

	connects histogram
	latency  [8]histogram // shared by connections; several, to avoid contention between processors
	lateness histogram    // of this program: from the time when a message was due until it was sent
	errors   tally
	phase    atomic.Int32

	corrupted, foreign, duplicated, reordered atomic.Uint64

	byConn  sync.Map // *wsmanager.Conn to *member
	opening sync.WaitGroup
	mu      sync.Mutex // guards members until begun is true
	members []*member

	// Constant while begun is true.
	began   time.Time
	senders int
	sending []*member
	begun   atomic.Bool

	sentFor      time.Duration
	timedOut     bool          // messages were missing at the end of the wait
	interrupted  atomic.Bool   // no more messages are sent
	closing      atomic.Bool   // this program closes the connections
	lastReceived atomic.Int64  // nanoseconds since began
	gone         atomic.Int64  // connections that have ended before closing
	ended        chan struct{} // holds a value after a connection has ended
	buffers      sync.Pool
}

// The phases that the progress line shows.
const (
	phaseConnecting = iota
	phaseSending
	phaseWaiting
	phaseClosing
)

// newLoad returns the load of a configuration. It checks the URL and the headers.
func newLoad(cfg *config) (*load, error) {
	l := &load{
		cfg:   cfg,
		codec: newCodec(cfg.payload, cfg.size, rand.Uint64()),
		pace:  pace{rate: cfg.rate},
		ended: make(chan struct{}, 1),
	}
	l.buffers.New = func() any { return new([]byte) }
	opts := wsmanager.DialOptions{Handshake: wsmanager.Handshake{Header: http.Header(cfg.header)}}
	opts.Logger = slog.New(slog.DiscardHandler) // the report counts errors instead
	opts.Driver = cfg.driver
	opts.Limits.MaxMessageSize = max(64<<10, cfg.size+4<<10) // a message that is too long is a violation, not a closed connection
	opts.Outbox.Messages = cfg.inFlight + 16
	opts.Outbox.Bytes = max(1<<20, cfg.inFlight*(cfg.size+16), opts.Limits.MaxMessageSize+16)
	opts.SlowConsumer = wsmanager.SlowConsumerDropNewest // pump tries again
	opts.Timeouts.Handshake = cfg.timeout
	opts.Timeouts.Close = min(cfg.timeout, 5*time.Second)
	if cfg.insecure {
		opts.Network.TLS = &tls.Config{InsecureSkipVerify: true} // requested with -insecure
	}
	opts.Compression.Enabled = cfg.compress
	var err error
	l.dialer, err = wsmanager.NewDialer(cfg.url, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			l.join(c)
			return nil
		},
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			l.receive(l.memberOf(c), msg)
			return nil
		},
		OnClose: func(c *wsmanager.Conn, err error) { l.leave(l.memberOf(c), err) },
	}, opts)
	return l, err
}

func (l *load) memberOf(c *wsmanager.Conn) *member {
	m, _ := l.byConn.Load(c)
	return m.(*member) // OnConnect has stored it
}

func (l *load) join(c *wsmanager.Conn) {
	defer l.opening.Done()
	m := &member{conn: c, sender: -1}
	l.mu.Lock()
	m.latency = &l.latency[len(l.members)%len(l.latency)]
	l.members = append(l.members, m)
	l.mu.Unlock()
	l.byConn.Store(c, m)
}

func (l *load) leave(m *member, err error) {
	if l.closing.Load() {
		return
	}
	m.ended.Store(true)
	l.errors.add(closeKind(err))
	l.gone.Add(1)
	select {
	case l.ended <- struct{}{}:
	default:
	}
}

// now returns the time since the load began.
func (l *load) now() time.Duration { return time.Since(l.began) }

// alive returns the number of open connections.
func (l *load) alive() int { return l.dialer.Manager().All().Len() }

// begin starts the clock. The first open connections become the senders; in echo mode
// with the default flags all do.
func (l *load) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.members {
		if len(l.sending) < l.cfg.senders && !m.ended.Load() {
			m.sender = len(l.sending)
			l.sending = append(l.sending, m)
		}
	}
	l.senders = len(l.sending)
	for _, m := range l.members {
		if l.cfg.mode == modeBroadcast {
			m.streams = make([]stream, l.senders)
		} else {
			m.streams = make([]stream, 1)
		}
	}
	l.began = time.Now()
	l.begun.Store(true)
}

// sendAll sends until the duration is over, ctx ends, or no connection is left.
func (l *load) sendAll(ctx context.Context) {
	if l.senders == 0 || ctx.Err() != nil {
		return
	}
	sending, cancel := context.WithTimeout(ctx, l.cfg.duration-l.now())
	defer cancel()
	go func() { // returns when sending ends
		for {
			select {
			case <-l.ended:
				if int(l.gone.Load()) == len(l.members) {
					cancel()
					return
				}
			case <-sending.Done():
				return
			}
		}
	}()
	if l.cfg.rate == 0 {
		l.pumpAll() // receive pumps again after each answer
	} else {
		l.takeTurns(sending)
	}
	<-sending.Done()
	l.sentFor = l.now()
	if ctx.Err() == nil {
		l.pumpAll() // messages that became due at the very end
	}
}

func (l *load) pumpAll() {
	for _, m := range l.sending {
		l.pump(m)
	}
}

// takeTurns pumps each sender when its next message is due.
func (l *load) takeTurns(ctx context.Context) {
	all, senders := l.pace.before(l.cfg.duration), uint64(l.senders)
	for n := uint64(0); n < all && precise.until(ctx, l.began, l.pace.at(n)); {
		due := min(l.pace.by(l.now()), all)
		if due > n+senders {
			n = due - senders // one pump sends all due messages of a sender
		}
		for ; n < due; n++ {
			if l.pump(l.sending[n%senders]) { // otherwise the limit of messages in flight has delayed it
				l.lateness.add(l.now() - l.pace.at(n))
			}
		}
	}
}

// quietPeriod is the time without messages after which the wait ends if the number of expected
// messages is unknown.
const quietPeriod = time.Second

// duplicateWait is the time to wait for duplicates at the end.
const duplicateWait = 100 * time.Millisecond

// wait waits until all messages have arrived or ctx ends.
func (l *load) wait(ctx context.Context) {
	for tick := 100 * time.Microsecond; !l.complete(); tick = min(2*tick, 10*time.Millisecond) {
		if !precise.until(ctx, l.began, l.now()+tick) {
			l.timedOut = true
			return
		}
	}
	if l.senders > 0 {
		precise.until(ctx, l.began, l.now()+duplicateWait)
	}
}

// complete reports whether all expected messages have arrived.
func (l *load) complete() bool {
	wanted, broken := uint64(0), false
	for _, s := range l.sending {
		if s.ended.Load() {
			broken = true
			continue
		}
		if l.unsent(s) > 0 {
			return false
		}
		wanted += s.sent.Load()
	}
	for _, m := range l.members {
		if m.ended.Load() {
			continue
		}
		if l.cfg.mode == modeEcho {
			wanted = m.sent.Load()
		}
		if m.received.Load() < wanted {
			return false
		}
	}
	// The number of messages that lost senders have delivered is unknown.
	return !broken || l.cfg.mode == modeEcho || l.now()-time.Duration(l.lastReceived.Load()) > quietPeriod
}

// unsent returns the number of due messages that a sender has not sent. It is 0 after an
// interrupt.
func (l *load) unsent(m *member) uint64 {
	if l.cfg.rate == 0 || l.interrupted.Load() {
		return 0
	}
	return l.due(m.sender, l.cfg.duration) - m.sent.Load()
}

// close closes the connections. No callback runs after it has returned.
func (l *load) close() error {
	l.closing.Store(true)
	for c := range l.dialer.Manager().All().Local() {
		_ = c.Close(wsmanager.StatusNormalClosure, "") // fails only for invalid arguments
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*l.cfg.timeout)
	defer cancel()
	return l.dialer.Manager().Shutdown(ctx)
}

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

// load is one run: connect, send, wait for what is on its way, close.
type load struct {
	cfg    *config
	dialer *wsmanager.Dialer
	codec  *codec
	pace   pace

	connects histogram
	latency  [8]histogram // connections share them, lest all processors write to one
	lateness histogram    // of our own: how long after it was due a message was sent that might have been
	errors   tally
	phase    atomic.Int32

	corrupted, foreign, duplicated, reordered atomic.Uint64

	byConn  sync.Map // *wsmanager.Conn to *member
	opening sync.WaitGroup
	mu      sync.Mutex // guards what follows, until the load has begun
	members []*member

	// Static once begun is set.
	began   time.Time
	senders int
	sending []*member // the senders
	begun   atomic.Bool

	sentFor      time.Duration
	timedOut     bool        // not all that was sent has come
	interrupted  atomic.Bool // nothing more is sent
	closing      atomic.Bool // connections end because they should
	lastReceived atomic.Int64
	gone         atomic.Int64
	ended        chan struct{} // has something in it when a connection has ended
	buffers      sync.Pool
}

// The phases, as the progress shows them.
const (
	phaseConnecting = iota
	phaseSending
	phaseWaiting
	phaseClosing
)

// newLoad checks what the flags did not: URL and headers.
func newLoad(cfg *config) (*load, error) {
	l := &load{
		cfg:   cfg,
		codec: newCodec(cfg.payload, cfg.size, rand.Uint64()),
		pace:  pace{rate: cfg.rate},
		ended: make(chan struct{}, 1),
	}
	l.buffers.New = func() any { return new([]byte) }
	opts := wsmanager.DialOptions{Header: http.Header(cfg.header)}
	opts.Logger = slog.New(slog.DiscardHandler) // what it would say is counted
	opts.Driver = cfg.driver
	opts.MaxMessageSize = max(64<<10, cfg.size+4<<10) // to see what is wrong with one that is longer than sent
	opts.OutboxMessages = cfg.inFlight + 16
	opts.OutboxBytes = max(1<<20, cfg.inFlight*(cfg.size+16), opts.MaxMessageSize+16)
	opts.SlowConsumer = wsmanager.SlowConsumerDropNewest // pump tries again
	opts.HandshakeTimeout = cfg.timeout
	opts.CloseTimeout = min(cfg.timeout, 5*time.Second)
	if cfg.insecure {
		opts.TLSConfig = &tls.Config{InsecureSkipVerify: true} // it is what -insecure asks for
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
	return m.(*member) // OnConnect came first
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

// now is the time since the load began.
func (l *load) now() time.Duration { return time.Since(l.began) }

// alive returns how many connections there are.
func (l *load) alive() int { return l.dialer.Manager().Len() }

// begin starts the clock. The first connections that are there are the senders; all
// are, in an echo.
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

// sendAll lets the senders send until the duration is over, ctx ends, or no connection
// is left.
func (l *load) sendAll(ctx context.Context) {
	if l.senders == 0 || ctx.Err() != nil {
		return
	}
	sending, cancel := context.WithTimeout(ctx, l.cfg.duration-l.now())
	defer cancel()
	go func() { // ends with sending
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
		l.pumpAll() // what comes back makes them go on
	} else {
		l.takeTurns(sending)
	}
	<-sending.Done()
	l.sentFor = l.now()
	if ctx.Err() == nil {
		l.pumpAll() // what became due in the last moment
	}
}

func (l *load) pumpAll() {
	for _, m := range l.sending {
		l.pump(m)
	}
}

// takeTurns pumps each sender when a message of it is due.
func (l *load) takeTurns(ctx context.Context) {
	all, senders := l.pace.before(l.cfg.duration), uint64(l.senders)
	for n := uint64(0); n < all && precise.until(ctx, l.began, l.pace.at(n)); {
		due := min(l.pace.by(l.now()), all)
		if due > n+senders {
			n = due - senders // one pump for each is enough
		}
		for ; n < due; n++ {
			if l.pump(l.sending[n%senders]) { // else it waits for others
				l.lateness.add(l.now() - l.pace.at(n))
			}
		}
	}
}

// quiet is how long nothing must have come where it is not known what should.
const quiet = time.Second

// surplus is how long to listen at the end for messages that are too many.
const surplus = 100 * time.Millisecond

// wait waits until all that was sent has arrived.
func (l *load) wait(ctx context.Context) {
	for tick := 100 * time.Microsecond; !l.complete(); tick = min(2*tick, 10*time.Millisecond) {
		if !precise.until(ctx, l.began, l.now()+tick) {
			l.timedOut = true
			return
		}
	}
	if l.senders > 0 {
		precise.until(ctx, l.began, l.now()+surplus)
	}
}

// complete reports whether nothing is to be waited for.
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
	// What senders that are gone have sent may still be among what has come.
	return !broken || l.cfg.mode == modeEcho || l.now()-time.Duration(l.lastReceived.Load()) > quiet
}

// unsent returns how many messages of a sender were due and could not be sent. Those
// of a run that was interrupted are not to be sent any more.
func (l *load) unsent(m *member) uint64 {
	if l.cfg.rate == 0 || l.interrupted.Load() {
		return 0
	}
	return l.due(m.sender, l.cfg.duration) - m.sent.Load()
}

// close ends the connections. After it no callback runs any more.
func (l *load) close() error {
	l.closing.Store(true)
	for c := range l.dialer.Manager().All() {
		_ = c.Close(wsmanager.StatusNormalClosure, "") // valid, so it can't fail
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*l.cfg.timeout)
	defer cancel()
	return l.dialer.Shutdown(ctx)
}

package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// ClientOptions configure a [Client]. The zero value is safe for production.
//
// Of the Options in it, OutboxMessages and OutboxBytes bound what waits in the
// Client as well. SlowConsumer must be zero or SlowConsumerDropNewest, which is the
// default here: what was accepted is not dropped.
type ClientOptions struct {
	DialOptions

	// MinDelay, MaxDelay and Factor say how long to wait before the next attempt: a
	// random time between 0 and a limit (so that the clients of a server that went
	// down don't come back together), which is MinDelay first, Factor times as long
	// each further time, and MaxDelay at most. A server's Retry-After in seconds is
	// heeded, up to MaxDelay. Default: 500 ms, 30 s, 2.
	MinDelay time.Duration
	MaxDelay time.Duration
	Factor   float64

	// StableAfter is how long a connection has to last for the delays, and what
	// MaxAttempts and MaxDowntime count, to begin anew after it. Default: 10 s.
	StableAfter time.Duration

	// MaxAttempts is how many attempts in a row may fail, and MaxDowntime for how
	// long they may, before Run gives up. A connection that did not last for
	// StableAfter counts as failed. Default: 0, no limit.
	MaxAttempts int
	MaxDowntime time.Duration

	// Retry says whether a new attempt makes sense after err: what [Dial] has
	// returned, or how a connection ended, as a *CloseError in every case. It is
	// called on Run's goroutine. Default: [Retryable].
	Retry func(err error) bool

	// OnRetry is told of each wait before it begins, on Run's goroutine.
	OnRetry func(Retrying)
}

// Retrying is an attempt that is to come.
type Retrying struct {
	Attempt int           // in a row, from 1
	Delay   time.Duration // until then
	Err     error         // why: see ClientOptions.Retry
}

// Client is a client that connects again when its connection breaks. It has one
// connection after the other, with the callbacks of each; they never overlap, not
// even those of different connections. Make one with [NewClient] and let it run
// with [Client.Run]. All methods are safe for concurrent use and may be called from
// inside any callback, save waiting for Run or Flush.
//
// What is sent with the Client is kept, in order, until its last byte was handed to
// the system, so it survives the end of a connection: a message that has not left,
// or only in part, is sent again from its beginning on the next one. A message that
// was handed over whole is not sent again, so it arrives at most once, and may be
// lost on its way: only an answer of the server tells that it has arrived. What is
// sent with a [Conn] belongs to that connection and ends with it.
//
// OnConnect is the place to restore what the server has to know: what it sends with
// its Conn goes out before all that waits in the Client. If it fails, its
// connection ends, as any does, and the next is tried.
type Client struct {
	dialer *Dialer
	opts   ClientOptions
	queue  queue

	mu       sync.Mutex // guards what follows
	running  bool
	connects int
	current  *Conn       // from its OnConnect to its OnClose
	began    time.Time   // the last connection
	ending   *CloseError // how it ended
	farewell *CloseError // what to close with; nil until the Client is closed
	result   error       // what Run returns then

	dialing context.Context    // ends when the Client is closed
	stop    context.CancelFunc // ends it
}

// ErrRunning is returned by [Client.Run] if it was called before.
var ErrRunning = errors.New("wsmanager: the client runs, or has run, already")

// GaveUpError is how [Client.Run] ends when no further attempt is made.
type GaveUpError struct {
	Attempts int           // that failed in a row
	Downtime time.Duration // since the last connection, or the beginning
	Unsent   int           // messages that were accepted and have not left
	Err      error         // the last failure
}

// Error implements error.
func (e *GaveUpError) Error() string {
	s := fmt.Sprintf("wsmanager: gave up after %d attempts in %v", e.Attempts, e.Downtime.Round(time.Millisecond))
	if e.Attempts == 1 {
		s = "wsmanager: gave up after the first attempt"
	} else if e.Attempts == 0 {
		s = "wsmanager: gave up"
	}
	if e.Unsent > 0 {
		s += fmt.Sprintf(", with %d messages unsent", e.Unsent)
	}
	return s + ": " + withoutPrefix(e.Err)
}

// Unwrap returns the last failure.
func (e *GaveUpError) Unwrap() error { return e.Err }

// NewClient makes a Client, and reports every mistake in its arguments at once. For
// the URL and the callbacks see [Dial]. Nothing is connected to before Run.
func NewClient(rawURL string, cb Callbacks, opts ClientOptions) (*Client, error) {
	return newClient(autoDialDriver, rawURL, cb, opts)
}

// newClient has auto stand for DriverAuto.
func newClient(auto Driver, rawURL string, cb Callbacks, opts ClientOptions) (*Client, error) {
	var errs []error
	duration := func(name string, v *time.Duration, def time.Duration) {
		if *v < 0 {
			errs = append(errs, fmt.Errorf("wsmanager: ClientOptions.%s is %v: it must be positive, or 0 for the default", name, *v))
		} else if *v == 0 {
			*v = def
		}
	}
	duration("MinDelay", &opts.MinDelay, 500*time.Millisecond)
	duration("MaxDelay", &opts.MaxDelay, max(30*time.Second, opts.MinDelay))
	duration("StableAfter", &opts.StableAfter, 10*time.Second)
	duration("MaxDowntime", &opts.MaxDowntime, 0)
	if opts.MaxDelay < opts.MinDelay {
		errs = append(errs, fmt.Errorf("wsmanager: ClientOptions.MaxDelay (%v) is below MinDelay (%v)", opts.MaxDelay, opts.MinDelay))
	}
	if opts.Factor == 0 {
		opts.Factor = 2
	} else if !(opts.Factor >= 1) { // or NaN
		errs = append(errs, fmt.Errorf("wsmanager: ClientOptions.Factor is %v: it must be at least 1, or 0 for the default of 2", opts.Factor))
	}
	if opts.MaxAttempts < 0 {
		errs = append(errs, fmt.Errorf("wsmanager: ClientOptions.MaxAttempts is %d: it must be positive, or 0 for no limit", opts.MaxAttempts))
	}
	if opts.SlowConsumer != 0 && opts.SlowConsumer != SlowConsumerDropNewest {
		errs = append(errs, fmt.Errorf("wsmanager: Options.SlowConsumer is %v: a Client drops nothing that it has accepted, so it must be SlowConsumerDropNewest, or 0 for that", opts.SlowConsumer))
	}
	opts.SlowConsumer = SlowConsumerDropNewest
	if opts.Retry == nil {
		opts.Retry = Retryable
	}
	cl := &Client{opts: opts}
	cl.dialing, cl.stop = context.WithCancel(context.Background())
	inner := cb
	inner.OnConnect = func(c *Conn) error {
		cl.connected(c)
		if cb.OnConnect != nil {
			if err := cb.OnConnect(c); err != nil {
				return err
			}
		}
		cl.queue.attach(c)
		return nil
	}
	inner.OnClose = func(c *Conn, err error) {
		cl.disconnected(c)
		if cb.OnClose != nil {
			cb.OnClose(c, err)
		}
	}
	d, err := newDialer(rawURL, inner, opts.DialOptions, auto)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	cl.dialer = d
	cl.queue.init(d.m)
	return cl, nil
}

// connected notes the connection that has begun.
func (cl *Client) connected(c *Conn) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.connects++
	cl.current, cl.began = c, time.Now()
	if cl.farewell != nil { // it was closed meanwhile
		_ = c.Close(cl.farewell.Code, cl.farewell.Reason) // both are checked
	}
}

// disconnected notes how it ended.
func (cl *Client) disconnected(c *Conn) {
	c.mu.Lock()
	cause := c.life.cold.cause
	c.mu.Unlock()
	cl.queue.detach()
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.current, cl.ending = nil, cause
}

// Run connects, and connects again, until the Client is closed (nil), the server has
// ended the connection with 1000 (nil), no further attempt makes sense or is allowed
// (a *GaveUpError), or ctx has ended (its cause; a connection is closed with 1001
// then). When it returns, nothing of the Client is left. It is called once.
func (cl *Client) Run(ctx context.Context) error {
	cl.mu.Lock()
	again := cl.running
	cl.running = true
	cl.mu.Unlock()
	if again {
		return ErrRunning
	}
	defer context.AfterFunc(ctx, func() {
		cl.close(&CloseError{Code: StatusGoingAway}, context.Cause(ctx))
	})()
	// Sends fail from now on, also if a function of the application panics.
	defer cl.close(&CloseError{Code: StatusNormalClosure}, nil)
	defer cl.dialer.m.loops.Wait(context.Background())
	return cl.run()
}

func (cl *Client) run() error {
	failures, down := 0, time.Now()
	for {
		if cl.dialing.Err() != nil {
			return cl.closedWith()
		}
		lasted, err := cl.once()
		switch {
		case cl.dialing.Err() != nil:
			return cl.closedWith()
		case err == nil:
			return nil
		}
		if lasted >= cl.opts.StableAfter {
			failures, down = 0, time.Now()
		}
		failures++
		delay := cl.opts.delay(failures, err)
		if over := cl.opts.MaxAttempts > 0 && failures >= cl.opts.MaxAttempts ||
			cl.opts.MaxDowntime > 0 && time.Since(down)+delay > cl.opts.MaxDowntime ||
			!cl.opts.Retry(err); over {
			return &GaveUpError{Attempts: failures, Downtime: time.Since(down), Unsent: cl.Unsent(), Err: err}
		}
		if cl.opts.OnRetry != nil {
			cl.opts.OnRetry(Retrying{Attempt: failures, Delay: delay, Err: err})
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-cl.dialing.Done():
			timer.Stop()
		}
	}
}

// once makes one connection and waits until nothing of it is left. It returns how long
// the connection lasted, 0 if there was none, and how it ended: nil if the server has
// ended it for good.
func (cl *Client) once() (lasted time.Duration, err error) {
	cl.mu.Lock()
	cl.ending = nil
	cl.mu.Unlock()
	if _, err := cl.dialer.Dial(cl.dialing); err != nil {
		return 0, err
	}
	// Until its writer has ended as well, nobody knows what it has written.
	cl.dialer.m.active.Wait(context.Background())
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.ending.Remote && cl.ending.Code == StatusNormalClosure {
		return 0, nil
	}
	return time.Since(cl.began), cl.ending
}

// delay is how long to wait after so many failures, of which err is the last.
func (o *ClientOptions) delay(failures int, err error) time.Duration {
	limit := float64(o.MinDelay)
	for i := 1; i < failures && limit < float64(o.MaxDelay); i++ {
		limit *= o.Factor
	}
	delay := time.Duration(rand.Float64() * min(limit, float64(o.MaxDelay)))
	var refused *RefusedError
	if errors.As(err, &refused) {
		delay = max(delay, min(refused.retryAfter(), o.MaxDelay))
	}
	return delay
}

// closedWith is what Run returns when the Client was closed.
func (cl *Client) closedWith() error {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.result
}

// Conn returns the present connection, from its OnConnect to its end; false if there
// is none.
func (cl *Client) Conn() (*Conn, bool) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.current, cl.current != nil
}

// Connects returns how many connections there were, the present one included: 1 in
// the first OnConnect.
func (cl *Client) Connects() int {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.connects
}

// Close ends the Client for good: Run returns. A connection is closed as
// [Conn.Close] says, after what was sent to it; what waits for the next connection
// is lost, so [Client.Flush] first where that counts. Only the first call does
// anything. Its errors are those of Conn.Close.
func (cl *Client) Close(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	cl.close(&CloseError{Code: code, Reason: reason}, nil)
	return nil
}

func (cl *Client) close(farewell *CloseError, result error) {
	cl.mu.Lock()
	if cl.farewell != nil {
		cl.mu.Unlock()
		return
	}
	cl.farewell, cl.result = farewell, result
	c := cl.current
	cl.stop() // before the connection ends, which would be a failure
	cl.mu.Unlock()
	cl.queue.close()
	if c != nil {
		_ = c.Close(farewell.Code, farewell.Reason) // both are checked
	}
}

// Send sends a message on the present connection, or keeps it for the next. It never
// blocks, and has taken the bytes of the payload when it returns. nil means that the
// message is kept until it was written, see [Client].
//
// It returns ErrClosed when the Client is closed or Run has ended, ErrOutboxFull if
// as many messages wait as Options.OutboxMessages and OutboxBytes allow (the message
// is dropped, and the connection stays), ErrMessageTooBig and ErrMessageType for
// messages that can't be sent.
func (cl *Client) Send(m Message) error {
	buf, err := cl.queue.encode(m)
	if err != nil {
		return err
	}
	defer putFrame(buf)
	return cl.queue.send(outgoing{frame: *buf, plain: m.NoCompression})
}

// SendContext is Send, but waits for room, until what waits is at most half of what
// may. It returns the cause of ctx when that ends first; the message is not sent then.
// In a callback it waits for a writer that needs no callback, but while there is no
// connection it would wait for one that can't begin before the callback has returned.
func (cl *Client) SendContext(ctx context.Context, m Message) error {
	buf, err := cl.queue.encode(m)
	if err != nil {
		return err
	}
	defer putFrame(buf)
	return cl.queue.sendContext(ctx, outgoing{frame: *buf, plain: m.NoCompression})
}

// SendPrepared is Send for a message that is ready. Besides Send's errors it returns
// PrepareFunc's.
func (cl *Client) SendPrepared(p *Prepared) error {
	frame, err := cl.dialer.m.frame(p, 0)
	if err != nil {
		return err
	}
	return cl.queue.send(outgoing{frame: frame, prepared: p, plain: p.forVariant(0).plain})
}

// Unsent returns how many messages were accepted by the Client and have not left.
func (cl *Client) Unsent() int {
	cl.queue.mu.Lock()
	defer cl.queue.mu.Unlock()
	return len(cl.queue.items)
}

// Flush waits until all that was sent with the Client before the call has left. It
// returns ErrClosed if the Client ends before, and the cause of ctx when that ends first.
func (cl *Client) Flush(ctx context.Context) error { return cl.queue.flush(ctx) }

package wsmanager

import (
	"context"
	"errors"
	"sync"
	"time"
)

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
	dialer    *Dialer
	reconnect Reconnect // with defaults
	queue     queue

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

// NewClient makes a Client, and reports every mistake in its arguments at once. For
// the URL and the callbacks see [Dial]. Nothing is connected to before Run.
func NewClient(rawURL string, cb Callbacks, opts ClientOptions) (*Client, error) {
	return newClient(autoDialDriver, rawURL, cb, opts)
}

// newClient has auto stand for DriverAuto.
func newClient(auto Driver, rawURL string, cb Callbacks, opts ClientOptions) (*Client, error) {
	w := &mistakes{options: "ClientOptions"}
	opts.Reconnect.complete(w)
	cl := &Client{reconnect: opts.Reconnect}
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
	d, err := newDialer(rawURL, inner, opts.dialOptions(), w, auto)
	if err != nil {
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
// (a *RetriesExhaustedError), or ctx has ended (its cause; a connection is closed with 1001
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
	defer cl.dialer.m.loops.wait(context.Background())
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
		if lasted >= cl.reconnect.StableAfter {
			failures, down = 0, time.Now()
		}
		failures++
		delay := cl.reconnect.delay(failures, err)
		if over := cl.reconnect.MaxAttempts > 0 && failures >= cl.reconnect.MaxAttempts ||
			cl.reconnect.MaxDowntime > 0 && time.Since(down)+delay > cl.reconnect.MaxDowntime ||
			!cl.reconnect.Retry(err); over {
			return &RetriesExhaustedError{Attempts: failures, Downtime: time.Since(down), Unsent: cl.Unsent(), Err: err}
		}
		if cl.reconnect.OnRetry != nil {
			cl.reconnect.OnRetry(RetryEvent{Attempt: failures, Delay: delay, Err: err})
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
	cl.dialer.m.active.wait(context.Background())
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.ending.Remote && cl.ending.Code == StatusNormalClosure {
		return 0, nil
	}
	return time.Since(cl.began), cl.ending
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

// ConnectCount returns how many connections there were, the present one included: 1 in
// the first OnConnect.
func (cl *Client) ConnectCount() int {
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
// as many messages wait as Outbox allows (the message
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

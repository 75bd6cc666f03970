package wsmanager

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/clientqueue"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// Client is a client that reconnects when its connection breaks. It has one connection after
// the other and calls the callbacks for each. Callbacks never overlap, also not those of
// different connections. Make a Client with [NewClient] and run it with [Client.Run]. All
// methods are safe for concurrent use and may be called inside callbacks; a callback must not
// wait for Run or Flush.
//
// Messages that are sent with the Client are kept in order until the operating system has
// taken their last byte, so they survive the end of a connection. A message that was written
// partly or not at all is sent again from its beginning on the next connection. A message that
// was written completely is not sent again: it arrives at most once and may be lost, and only an
// answer of the server confirms it. Messages that are sent with a [Conn] belong to that
// connection and are lost with it.
//
// Use OnConnect to restore the state of the server: messages that it sends with its Conn are
// sent before the messages that wait in the Client. If it returns an error, the connection ends
// and the Client reconnects.
type Client struct {
	dialer    *Dialer
	reconnect Reconnect // with defaults
	queue     *clientqueue.Queue

	mu           sync.Mutex // guards the following
	running      bool
	connectCount int
	current      *Conn       // from its OnConnect to its OnClose
	began        time.Time   // start of the last connection
	ended        *CloseError // how the last connection ended
	closeWith    *CloseError // code and reason of Close; nil until the Client is closed
	result       error       // the result of Run after that

	dialing context.Context // ends when the Client is closed
	stop    context.CancelFunc
}

// ErrRunning is returned by [Client.Run] if it was called before.
var ErrRunning = errors.New("wsmanager: Run was called before")

// NewClient makes a Client. Its error reports all mistakes in the arguments. For the URL and
// the callbacks see [Dial]. The Client connects only in Run.
func NewClient(rawURL string, cb Callbacks, opts ClientOptions) (*Client, error) {
	return newClient(autoDialDriver, rawURL, cb, opts)
}

// newClient is NewClient with another meaning of DriverAuto.
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
		cl.queue.Attach(c.session())
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
	cl.queue = d.m.newClientQueue()
	return cl, nil
}

// connected notes the start of a connection.
func (cl *Client) connected(c *Conn) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.connectCount++
	cl.current, cl.began = c, time.Now()
	if cl.closeWith != nil { // the Client was closed in the meantime
		_ = c.Close(cl.closeWith.Code, cl.closeWith.Reason) // valid arguments cannot fail
	}
}

// disconnected notes the end of a connection.
func (cl *Client) disconnected(c *Conn) {
	cause := endCause(c)
	cl.queue.Detach()
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.current, cl.ended = nil, cause
}

// endCause returns how a connection ended, or why it is closing; nil while it is open.
func endCause(c *Conn) *CloseError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.cold == nil {
		return nil
	}
	return c.life.cold.cause
}

// Run connects and reconnects until one of the following happens:
//
//   - The Client is closed, or the server has closed the connection with 1000: Run returns nil.
//   - Reconnect does not allow another attempt: Run returns a *RetriesExhaustedError.
//   - ctx ends: Run closes the connection with 1001 and returns the cause of ctx.
//
// When it returns, the Client has no connection and no goroutine. A second call returns
// ErrRunning.
func (cl *Client) Run(ctx context.Context) error {
	cl.mu.Lock()
	before := cl.running
	cl.running = true
	cl.mu.Unlock()
	if before {
		return ErrRunning
	}
	defer context.AfterFunc(ctx, func() {
		cl.close(&CloseError{Code: StatusGoingAway}, context.Cause(ctx))
	})()
	// After Run sends fail, also after a panic of a function of the application.
	defer cl.close(&CloseError{Code: StatusNormalClosure}, nil)
	defer cl.dialer.m.loops.Wait(context.Background())
	return cl.reconnectLoop()
}

// reconnectLoop is Run without the end.
func (cl *Client) reconnectLoop() error {
	failures, downSince := 0, time.Now()
	for {
		if cl.dialing.Err() != nil {
			return cl.closeResult()
		}
		lasted, err := cl.connectOnce()
		switch {
		case cl.dialing.Err() != nil:
			return cl.closeResult()
		case err == nil:
			return nil
		}
		if lasted >= cl.reconnect.StableAfter {
			failures, downSince = 0, time.Now()
		}
		failures++
		delay := cl.reconnect.delay(failures, err)
		if exhausted := cl.reconnect.MaxAttempts > 0 && failures >= cl.reconnect.MaxAttempts ||
			cl.reconnect.MaxDowntime > 0 && time.Since(downSince)+delay > cl.reconnect.MaxDowntime ||
			!cl.reconnect.Retry(Failure{Err: err, Attempt: failures, Connected: cl.ConnectCount() > 0}); exhausted {
			return &RetriesExhaustedError{Attempts: failures, Downtime: time.Since(downSince), Unsent: cl.Unsent(), Err: err}
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

// connectOnce makes one connection and waits for its end. It returns the duration of the
// connection, 0 if there was none, and its end: nil if the server has closed it with 1000.
func (cl *Client) connectOnce() (lasted time.Duration, err error) {
	cl.mu.Lock()
	cl.ended = nil
	cl.mu.Unlock()
	if _, err := cl.dialer.Dial(cl.dialing); err != nil {
		return 0, err
	}
	// The next connection sends the messages that this one has not written, so its writer has to
	// end first.
	cl.dialer.m.active.Wait(context.Background())
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.ended.Remote && cl.ended.Code == StatusNormalClosure {
		return 0, nil
	}
	return time.Since(cl.began), cl.ended
}

// closeResult returns the result of Run after Close.
func (cl *Client) closeResult() error {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.result
}

// Conn returns the present connection, from the start of its OnConnect to the start of its
// OnClose, and false if there is none.
func (cl *Client) Conn() (*Conn, bool) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.current, cl.current != nil
}

// ConnectCount returns how many connections have been made, including the present one. It is 1
// in the first OnConnect.
func (cl *Client) ConnectCount() int {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.connectCount
}

// Close ends the Client: Run returns. The connection is closed as described at [Conn.Close],
// after the messages in its outbox. Messages that wait for the next connection are lost: call
// [Client.Flush] before if that matters. The errors are those of Conn.Close. Further calls do
// nothing.
func (cl *Client) Close(code StatusCode, reason string) error {
	reason = cl.dialer.m.opts.InvalidUTF8.reason(reason)
	if err := checkClose(code, reason); err != nil {
		return err
	}
	cl.close(&CloseError{Code: code, Reason: reason}, nil)
	return nil
}

// close ends the Client with a result of Run.
func (cl *Client) close(with *CloseError, result error) {
	cl.mu.Lock()
	if cl.closeWith != nil {
		cl.mu.Unlock()
		return
	}
	cl.closeWith, cl.result = with, result
	c := cl.current
	cl.stop() // first: otherwise the end of the connection counts as a failure
	cl.mu.Unlock()
	cl.queue.Close()
	if c != nil {
		_ = c.Close(with.Code, with.Reason) // valid arguments cannot fail
	}
}

// Send sends a message on the present connection, or keeps it for the next. It never blocks.
// The payload may be reused when it returns. nil means that the message is kept until it has
// been written: see [Client].
//
// It returns ErrClosed if the Client is closed or Run has returned, ErrOutboxFull if the
// messages that wait have reached a limit of Outbox (the message is dropped, and the connection
// stays open), and ErrMessageTooBig, ErrMessageType or ErrInvalidUTF8 if the message cannot be
// sent.
func (cl *Client) Send(m Message) error {
	buf, err := encodePlain(cl.dialer.m, m)
	if err != nil {
		return err
	}
	defer frame.PutBuffer(buf)
	return cl.queue.Send(clientqueue.Message{Frame: *buf, Plain: m.NoCompression})
}

// SendContext is Send for producers that may be faster than the server reads. It waits until the
// messages that wait have at most half of a limit of Outbox. It returns the cause of ctx if that
// ends first; the message is not sent then. A callback should pass the Context of its Conn:
// after the end of the connection SendContext waits for the next one, which begins only after
// the callback has returned.
func (cl *Client) SendContext(ctx context.Context, m Message) error {
	buf, err := encodePlain(cl.dialer.m, m)
	if err != nil {
		return err
	}
	defer frame.PutBuffer(buf)
	return cl.queue.SendContext(ctx, clientqueue.Message{Frame: *buf, Plain: m.NoCompression})
}

// SendPrepared is Send for a prepared message. Besides the errors of Send it returns those of
// PrepareFunc.
func (cl *Client) SendPrepared(p *Prepared) error {
	m := cl.dialer.m
	f, err := p.sendable(0, m.maxFrame(), m.opts.InvalidUTF8)
	if err != nil {
		return err
	}
	return cl.queue.Send(clientqueue.Message{Frame: f.frame, Source: f, Plain: f.plain})
}

// Unsent returns how many messages were accepted and have not been written.
func (cl *Client) Unsent() int { return cl.queue.Len() }

// Flush waits until all messages that were sent with the Client before the call have been
// written. It returns ErrClosed if the Client ends before that, and the cause of ctx if ctx ends
// first.
func (cl *Client) Flush(ctx context.Context) error { return cl.queue.Flush(ctx) }

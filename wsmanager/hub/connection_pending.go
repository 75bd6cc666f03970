package hub

import (
	"context"
	"fmt"
)

// pendingCall is a call of the hub that waits for its result, or for items.
type pendingCall struct {
	c       *Connection
	session *session // in which the call began
	id      string
	method  string
	stream  bool
	arrived chan struct{} // buffered; signals that replies is not empty

	uploads     context.Context // ends with the call
	stopUploads context.CancelFunc

	replies []reply // guarded by Connection.mu
}

// reply is an item, or the end of a call.
type reply struct {
	item   Raw // or the result
	end    bool
	remote string // error of the hub; only with end
	err    error  // all other errors; only with end
}

// size is how many bytes of memory the reply counts of DialOptions.ReceiveBuffer.
func (r *reply) size() int { return replyOverhead + len(r.item) + len(r.remote) }

// replyOverhead is what a waiting reply takes besides its bytes.
const replyOverhead = 128

// begin sends a call that will be answered.
func (c *Connection) begin(ctx context.Context, method string, args []any, stream bool) (*pendingCall, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	inv, streams, err := c.newInvocation(method, args)
	if err != nil {
		return nil, err
	}
	inv.ID, inv.Stream = c.newID(), stream
	k := &pendingCall{c: c, id: inv.ID, method: method, stream: stream, arrived: make(chan struct{}, 1)}
	k.uploads, k.stopUploads = context.WithCancel(ctx)
	err = k.register()
	if err == nil {
		err = c.write(ctx, k.session, inv)
	}
	if err != nil {
		k.stopUploads()
		k.unregister()
		return nil, err
	}
	c.startUploads(k.uploads, k.session, inv, streams)
	return k, nil
}

func (k *pendingCall) register() error {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
		return ErrClosed
	case c.socket == nil && c.session.replay == nil:
		return ErrDisconnected
	}
	k.session = c.session
	c.calls[k.id] = k
	return nil
}

// unregister drops the call's replies. It reports whether the call had not ended.
func (k *pendingCall) unregister() (pending bool) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	pending = c.calls[k.id] == k
	if pending {
		delete(c.calls, k.id)
	}
	for _, r := range k.replies {
		c.buffered -= r.size()
	}
	k.replies = nil
	c.changed.Broadcast()
	return pending
}

// finish ends the call. It cancels a call that has not ended.
func (k *pendingCall) finish() {
	k.stopUploads()
	if k.unregister() {
		k.cancel()
	}
}

// cancel tells the hub that the result is not needed. It does not wait: there may be no space for the message.
func (k *pendingCall) cancel() {
	k.c.running.run(func() {
		_ = k.c.write(k.c.ctx, k.session, &CancelInvocation{ID: k.id}) // if the connection has broken, the call has ended
	})
}

func (k *pendingCall) pushLocked(r reply) {
	k.c.buffered += r.size()
	k.replies = append(k.replies, r)
	select {
	case k.arrived <- struct{}{}:
	default:
	}
}

func (k *pendingCall) takeLocked() (reply, bool) {
	if len(k.replies) == 0 {
		return reply{}, false
	}
	r := k.replies[0]
	k.replies[0] = reply{}
	k.replies = k.replies[1:]
	k.c.buffered -= r.size()
	k.c.changed.Broadcast()
	return r, true
}

// next waits for the next item or the end of the call.
func (k *pendingCall) next(ctx context.Context) (reply, error) {
	c := k.c
	for {
		c.mu.Lock()
		r, ok := k.takeLocked()
		c.mu.Unlock()
		switch {
		case ok && r.remote != "":
			return r, remoteError(k.method, r.remote)
		case ok:
			return r, r.err
		}
		c.addWaiting(1)
		var err error
		select {
		case <-k.arrived:
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-c.stopped.Done():
			err = ErrClosed
		}
		c.addWaiting(-1)
		if err != nil {
			return reply{}, err
		}
	}
}

// waitForSpaceLocked runs on the reader's goroutine. It blocks the reader while a buffer is full, unless another goroutine
// waits for a message that may be behind it. It returns false if the socket has ended, at once:
// the reader would not learn otherwise that the server has disappeared.
func (c *Connection) waitForSpaceLocked(s *clientSocket, full func() bool) bool {
	waits := func() bool { return full() && c.waiting == 0 && !c.closing && !s.abandoned && !s.gone }
	if waits() {
		defer context.AfterFunc(s.ws.Context(), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			s.gone = true
			c.changed.Broadcast()
		})()
		for waits() {
			c.changed.Wait()
		}
	}
	return !c.closing && !s.abandoned && !s.gone
}

// deliverItem delivers an item to its call.
func (c *Connection) deliverItem(s *clientSocket, m *StreamItem) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.calls[m.ID]
	if k == nil {
		return nil // the call has ended
	}
	if !c.waitForSpaceLocked(s, func() bool { return c.calls[m.ID] == k && len(k.replies) >= c.opts.StreamBuffer }) {
		return errSocketEnded
	}
	if c.calls[m.ID] != k {
		return nil
	}
	var err error
	switch {
	case !k.stream:
		err = fmt.Errorf("hub: the result of %q is a stream", k.method)
	case c.buffered+replyOverhead+len(m.Item) > c.opts.ReceiveBuffer:
		err = ErrSlowConsumer
	default:
		k.pushLocked(reply{item: m.Item})
		return nil
	}
	delete(c.calls, m.ID)
	k.pushLocked(reply{end: true, err: err})
	k.cancel()
	return nil
}

// deliverCompletion delivers the end of a call.
func (c *Connection) deliverCompletion(m *Completion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.calls[m.ID]
	if k == nil {
		return
	}
	delete(c.calls, m.ID)
	r := reply{end: true, remote: m.Error}
	if !k.stream {
		r.item = m.Result
	}
	k.pushLocked(r)
}

package hub

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strconv"
)

// outgoing is a call of the hub that waits for its answer, or for items.
type outgoing struct {
	id     string
	epoch  uint64
	method string
	stream bool
	news   chan struct{} // has room for one: something came

	uploads     context.Context // ends with the call
	stopUploads context.CancelFunc

	// Guarded by Connection.mu.
	replies []reply
}

// overhead is how many bytes a message counts that waits, besides its values.
const overhead = 64

// size is what the reply counts of DialOptions.ReceiveBuffer.
func (r *reply) size() int { return overhead + len(r.item) }

// reply is an item, or the end of a call.
type reply struct {
	item   Raw // or the result
	end    bool
	remote string // the hub's error, with end
	err    error  // another
}

func (c *Connection) pushLocked(k *outgoing, r reply) {
	c.buffered += r.size()
	k.replies = append(k.replies, r)
	select {
	case k.news <- struct{}{}:
	default:
	}
}

// Call calls a method of the hub that has no result, or whose result does not matter,
// and waits until it has returned. [Invoke] is for those that have one.
//
// Streams among the arguments (an iter.Seq2[T, error], an iter.Seq[T] or a channel) are
// sent item by item while the method runs, and no further when it has returned. An error
// of an iter.Seq2 ends the stream as failed; the hub reads its text if it is an
// [Error].
//
// It returns a *[RemoteError] if the method failed, [ErrDisconnected] if the connection
// has broken, before or meanwhile (then the method may have run, or not), [ErrClosed] if
// it has ended, and the cause of ctx: then the method's context has ended as well.
func (c *Connection) Call(ctx context.Context, method string, args ...any) error {
	return c.ask(ctx, method, args, nil)
}

func (c *Connection) ask(ctx context.Context, method string, args []any, result any) error {
	k, err := c.begin(ctx, method, args, false)
	if err != nil {
		return err
	}
	defer c.leave(k)
	defer c.stepAside(ctx)()
	r, err := c.next(ctx, k)
	if err != nil {
		return err
	}
	if r.item == nil || result == nil {
		return nil
	}
	if err := c.protocol.Decode(r.item, result); err != nil {
		return fmt.Errorf("hub: the result of %q: %w", method, err)
	}
	return nil
}

// Send calls a method of the hub without waiting for its end: whether it fails, nobody is
// told. Streams among the arguments are sent in the background, until they end, or ctx
// or the connection does. It waits for room if much is waiting to be sent. Its errors
// are those of [Connection.Call], save what the method would return.
func (c *Connection) Send(ctx context.Context, method string, args ...any) error {
	inv, streams, err := c.invocation(method, args)
	if err != nil {
		return err
	}
	epoch := c.session()
	if err := c.write(ctx, epoch, inv); err != nil {
		return err
	}
	c.upload(ctx, epoch, inv, streams)
	return nil
}

// Stream calls a method of the hub whose result is a stream, when the result is ranged
// over, and each time anew. To leave the loop cancels it. The loop's last error is why the
// stream failed; they are those of [Connection.Call], and [ErrSlowConsumer] if more came
// than DialOptions.ReceiveBuffer.
func Stream[T any](ctx context.Context, from *Connection, method string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		k, err := from.begin(ctx, method, args, true)
		if err != nil {
			yield(zero, err)
			return
		}
		defer from.leave(k)
		for {
			r, err := from.next(ctx, k)
			if err == nil && r.end {
				return
			}
			var item T
			if err == nil {
				if err = from.protocol.Decode(r.item, &item); err != nil {
					err = fmt.Errorf("hub: an item of %q: %w", method, err)
				}
			}
			if err != nil {
				yield(zero, err)
				return
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// invocation makes the message of a call, and takes the streams from its arguments.
func (c *Connection) invocation(method string, args []any) (inv *Invocation, streams []reflect.Value, err error) {
	inv = &Invocation{Target: method, Arguments: make([]Raw, 0, len(args))}
	for i, a := range args {
		if v := reflect.ValueOf(a); v.IsValid() {
			if kind, item := streamOf(v.Type()); kind != noStream {
				if v.IsNil() || !encodable(item) {
					return nil, nil, fmt.Errorf("hub: argument %d of %q is a %T, whose items can't be encoded, or nil", i+1, method, a)
				}
				inv.StreamIDs = append(inv.StreamIDs, c.newID())
				streams = append(streams, v)
				continue
			}
		}
		raw, err := c.protocol.Encode(a)
		if err != nil {
			return nil, nil, fmt.Errorf("hub: argument %d of %q: %w", i+1, method, err)
		}
		inv.Arguments = append(inv.Arguments, raw)
	}
	return inv, streams, nil
}

func (c *Connection) newID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids++
	return strconv.FormatUint(c.ids, 10)
}

// begin sends a call that will be answered.
func (c *Connection) begin(ctx context.Context, method string, args []any, stream bool) (*outgoing, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	inv, streams, err := c.invocation(method, args)
	if err != nil {
		return nil, err
	}
	inv.ID, inv.Stream = c.newID(), stream
	k := &outgoing{id: inv.ID, method: method, stream: stream, news: make(chan struct{}, 1)}
	k.uploads, k.stopUploads = context.WithCancel(ctx)
	c.mu.Lock()
	switch {
	case c.closing:
		err = ErrClosed
	case c.socket == nil && c.replay == nil:
		err = ErrDisconnected
	default:
		k.epoch = c.epoch
		c.calls[k.id] = k
	}
	c.mu.Unlock()
	if err == nil {
		err = c.write(ctx, k.epoch, inv)
	}
	if err != nil {
		k.stopUploads()
		c.forget(k)
		return nil, err
	}
	c.upload(k.uploads, k.epoch, inv, streams)
	return k, nil
}

// forget reports whether the call was still waited for.
func (c *Connection) forget(k *outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waited := c.calls[k.id] == k
	if waited {
		delete(c.calls, k.id)
	}
	for _, r := range k.replies {
		c.buffered -= r.size()
	}
	k.replies = nil
	c.changed.Broadcast()
	return waited
}

// leave is the end of a call, which is cancelled if it is not over.
func (c *Connection) leave(k *outgoing) {
	k.stopUploads()
	if !c.forget(k) {
		return
	}
	c.running.run(func() { // there may be no room
		_ = c.write(c.ctx, k.epoch, &CancelInvocation{ID: k.id}) // a connection that has broken needs none
	})
}

// next waits for the next item of a call, or its end.
func (c *Connection) next(ctx context.Context, k *outgoing) (reply, error) {
	for {
		c.mu.Lock()
		if len(k.replies) > 0 {
			r := k.replies[0]
			k.replies[0] = reply{}
			k.replies = k.replies[1:]
			c.buffered -= r.size()
			c.changed.Broadcast()
			c.mu.Unlock()
			if r.remote != "" {
				return r, &RemoteError{k.method, r.remote}
			}
			return r, r.err
		}
		c.mu.Unlock()
		c.waits(1)
		var err error
		select {
		case <-k.news:
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-c.stopped.Done():
			err = ErrClosed
		}
		c.waits(-1)
		if err != nil {
			return reply{}, err
		}
	}
}

// roomLocked waits, on the reader's goroutine, while too much has come, unless
// somebody waits for what is behind it. It reports false if the socket is over.
func (c *Connection) roomLocked(s *socket, full func() bool) bool {
	for full() && c.waiting == 0 && !c.closing && !s.abandoned {
		c.changed.Wait()
	}
	return !c.closing && !s.abandoned
}

// itemCame hands an item to its call.
func (c *Connection) itemCame(s *socket, m *StreamItem) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.calls[m.ID]
	if k == nil {
		return nil // it is over
	}
	if !c.roomLocked(s, func() bool { return c.calls[m.ID] == k && len(k.replies) >= c.opts.StreamBuffer }) {
		return errGone
	}
	if c.calls[m.ID] != k {
		return nil
	}
	var err error
	switch {
	case !k.stream:
		err = fmt.Errorf("hub: %q is a stream", k.method)
	case c.buffered+overhead+len(m.Item) > c.opts.ReceiveBuffer:
		err = ErrSlowConsumer
	default:
		c.pushLocked(k, reply{item: m.Item})
		return nil
	}
	delete(c.calls, m.ID)
	c.pushLocked(k, reply{end: true, err: err})
	c.running.run(func() {
		_ = c.write(c.ctx, k.epoch, &CancelInvocation{ID: k.id}) // as in leave
	})
	return nil
}

// completed hands the end of a call to who waits for it.
func (c *Connection) completed(m *Completion) {
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
	c.pushLocked(k, r)
}

// upload sends the streams of a call, each on a goroutine of its own.
func (c *Connection) upload(ctx context.Context, epoch uint64, inv *Invocation, streams []reflect.Value) {
	for i, v := range streams {
		id := inv.StreamIDs[i]
		c.running.run(func() {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			defer context.AfterFunc(c.stopped, func() { cancel(ErrClosed) })()
			err := c.sendItems(ctx, epoch, id, v)
			if ctx.Err() != nil || errors.Is(err, ErrDisconnected) {
				return // nobody wants the rest
			}
			end := &Completion{ID: id}
			if err != nil {
				text, public := publicText(err)
				if !public {
					text = "The client's stream failed."
					c.logger().Warn("hub stream failed", "method", inv.Target, "err", err)
				}
				end.Error = text
			}
			_ = c.write(ctx, epoch, end) // if it can't be sent the call fails
		})
	}
}

func (c *Connection) sendItems(ctx context.Context, epoch uint64, id string, v reflect.Value) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	send := func(item reflect.Value) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		raw, err := c.protocol.Encode(item.Interface())
		if err != nil {
			return fmt.Errorf("encoding an item: %w", err)
		}
		return c.write(ctx, epoch, &StreamItem{ID: id, Item: raw})
	}
	return rangeOver(ctx, v, send)
}

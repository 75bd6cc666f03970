package hub

import (
	"context"
	"fmt"
	"iter"
	"reflect"
)

// Call calls a method of the hub and waits until it has returned. It ignores the result: use [Invoke] to get it.
//
// Arguments that are streams (an iter.Seq2[T, error], an iter.Seq[T] or a channel) are sent item by item while the method
// runs, until it returns. An error of an iter.Seq2 ends the stream with an error; the hub reads the text of an [Error].
//
// Call returns a *[RemoteError] if the method failed, [ErrDisconnected] if the connection was broken or breaks meanwhile
// (the method may or may not have run), [ErrClosed] if the Connection has ended, and the cause of ctx. The end of ctx also
// ends the context of the method.
func (c *Connection) Call(ctx context.Context, method string, args ...any) error {
	return c.invoke(ctx, method, args, nil)
}

func (c *Connection) invoke(ctx context.Context, method string, args []any, result any) error {
	k, err := c.begin(ctx, method, args, false)
	if err != nil {
		return err
	}
	defer k.finish()
	defer c.releaseSlot(ctx)()
	r, err := k.next(ctx)
	if err != nil {
		return err
	}
	if result == nil {
		return nil
	}
	if err := decodeResult(c.protocol, r.item, result); err != nil {
		return fmt.Errorf("hub: decoding the result of %q: %w", method, err)
	}
	return nil
}

// Send calls a method of the hub without waiting for its end. Errors of the method are not reported. Send waits for space
// if many messages wait to be sent. Arguments that are streams are sent in the background until they end, ctx ends or the
// connection ends. Send returns the errors of [Connection.Call] except *RemoteError.
func (c *Connection) Send(ctx context.Context, method string, args ...any) error {
	inv, streams, err := c.newInvocation(method, args)
	if err != nil {
		return err
	}
	s := c.currentSession()
	if err := c.write(ctx, s, inv); err != nil {
		return err
	}
	c.startUploads(ctx, s, inv, streams)
	return nil
}

// Stream calls a method of the hub that returns a stream. The method is called when the result is ranged over, and each
// time anew. Leaving the loop cancels the call. If the stream fails, the loop ends after the error: one of
// [Connection.Call], or [ErrSlowConsumer] if the received items exceed DialOptions.ReceiveBuffer.
func Stream[T any](ctx context.Context, from *Connection, method string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		k, err := from.begin(ctx, method, args, true)
		if err != nil {
			yield(zero, err)
			return
		}
		defer k.finish()
		for {
			r, err := k.next(ctx)
			if err == nil && r.end {
				return
			}
			var item T
			if err == nil {
				if err = from.protocol.Decode(r.item, &item); err != nil {
					err = fmt.Errorf("hub: decoding an item of %q: %w", method, err)
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

// newInvocation makes the message of a call. It returns the arguments that are streams separately.
func (c *Connection) newInvocation(method string, args []any) (inv *Invocation, streams []reflect.Value, err error) {
	inv = &Invocation{Target: method, Arguments: make([]Raw, 0, len(args))}
	for i, a := range args {
		if v := reflect.ValueOf(a); v.IsValid() {
			if kind, item := streamOf(v.Type()); kind != noStream {
				if v.IsNil() || !encodable(item) {
					return nil, nil, fmt.Errorf("hub: argument %d of %q is a nil %T, or its items cannot be encoded", i+1, method, a)
				}
				inv.StreamIDs = append(inv.StreamIDs, c.newID())
				streams = append(streams, v)
				continue
			}
		}
		raw, err := encodeArgument(c.protocol, i, method, a)
		if err != nil {
			return nil, nil, err
		}
		inv.Arguments = append(inv.Arguments, raw)
	}
	return inv, streams, nil
}

package hub

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// startUploads sends the streams of a call, each on its own goroutine.
func (c *Connection) startUploads(ctx context.Context, s *session, inv *Invocation, streams []reflect.Value) {
	for i, v := range streams {
		id := inv.StreamIDs[i]
		c.running.run(func() {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			defer context.AfterFunc(c.stopped, func() { cancel(ErrClosed) })()
			err := c.sendItems(ctx, s, id, v)
			if ctx.Err() != nil || errors.Is(err, ErrDisconnected) {
				return // the call has ended
			}
			end := &Completion{ID: id}
			const general = "The client's stream failed."
			if err != nil {
				text, public := publicText(err)
				if !public {
					text = general
					c.logger().Warn("hub stream failed", "method", inv.Target, "err", logged(err))
				}
				end.Error = text
			}
			if err := c.write(ctx, s, end); unsendable(err) { // after all other errors the call fails with the connection
				end.Error = general
				_ = c.writeWithin(ctx, s, end, math.MaxInt)
			}
		})
	}
}

func (c *Connection) sendItems(ctx context.Context, s *session, id string, stream reflect.Value) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return rangeOver(ctx, stream, func(item reflect.Value) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		raw, err := c.protocol.Encode(item.Interface())
		if err != nil {
			return fmt.Errorf("encoding an item: %w", err)
		}
		return c.write(ctx, s, &StreamItem{ID: id, Item: raw})
	})
}

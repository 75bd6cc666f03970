package hub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// stream sends the items of a result as they come, until it ends or the call is
// cancelled. Where the client does not keep up, it waits.
func (k *call) stream(result any) error {
	v := reflect.ValueOf(result)
	if !v.IsValid() {
		return errors.New("the stream is nil")
	}
	kind, _ := streamOf(v.Type())
	if kind == noStream {
		return fmt.Errorf("a filter has made a %v of the stream", v.Type())
	}
	if v.IsNil() {
		return errors.New("the stream is nil")
	}
	return rangeOver(k.ctx, v, k.sendItem)
}

// rangeOver sends the items of a stream as they come, until it ends or fails, or ctx ends,
// which a channel is not waited for any longer then.
func rangeOver(ctx context.Context, stream reflect.Value, send func(item reflect.Value) error) error {
	switch kind, _ := streamOf(stream.Type()); kind {
	case seq2:
		for item, failure := range stream.Seq2() {
			if err, _ := failure.Interface().(error); err != nil {
				return err
			}
			if err := send(item); err != nil {
				return err
			}
		}
	case seq:
		for item := range stream.Seq() {
			if err := send(item); err != nil {
				return err
			}
		}
	case channel:
		cases := []reflect.SelectCase{
			{Dir: reflect.SelectRecv, Chan: stream},
			{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())},
		}
		for {
			chosen, item, open := reflect.Select(cases)
			switch {
			case chosen == 1:
				return context.Cause(ctx)
			case !open:
				return nil
			}
			if err := send(item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *call) sendItem(item reflect.Value) error {
	if err := k.ctx.Err(); err != nil {
		return context.Cause(k.ctx)
	}
	raw, err := k.c.protocol.Encode(item.Interface())
	if err != nil {
		return fmt.Errorf("encoding an item: %w", err)
	}
	return k.c.reply(k.ctx, &StreamItem{ID: k.inv.ID, Item: raw})
}

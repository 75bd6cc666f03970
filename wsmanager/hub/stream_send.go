package hub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// sendStream sends the items of a result as they come, until the stream ends or the call is canceled. It waits while the
// client reads too slowly.
func (k *call) sendStream(result any) error {
	v := reflect.ValueOf(result)
	if !v.IsValid() {
		return errors.New("the stream is nil")
	}
	kind, _ := streamOf(v.Type())
	if kind == noStream {
		return fmt.Errorf("a filter replaced the stream with a %v", v.Type())
	}
	if v.IsNil() {
		return errors.New("the stream is nil")
	}
	return rangeOver(k.ctx, v, k.sendItem)
}

func (k *call) sendItem(item reflect.Value) error {
	if err := k.ctx.Err(); err != nil {
		return context.Cause(k.ctx)
	}
	return k.c.writeMessage(k.ctx, &itemMessage{StreamItem{ID: k.inv.ID}, item.Interface()}, k.c.hub.opts.MaxSendSize)
}

// itemMessage is an item of a result. It is encoded when it is sent.
type itemMessage struct {
	StreamItem
	value any
}

// encode implements outgoing.
func (m *itemMessage) encode(p Protocol) ([]byte, error) {
	raw, err := p.Encode(m.value)
	if err != nil {
		return nil, fmt.Errorf("encoding an item: %w", err)
	}
	m.Item = raw
	defer func() { m.Item = nil }() // not needed while the record waits
	return p.Append(nil, &m.StreamItem)
}

// rangeOver calls send for the items of a stream until the stream ends or one of them fails. The end of ctx interrupts the
// wait for a channel; a function has to watch its own context.
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
		return rangeOverChannel(ctx, stream, send)
	}
	return nil
}

func rangeOverChannel(ctx context.Context, ch reflect.Value, send func(item reflect.Value) error) error {
	cases := []reflect.SelectCase{
		{Dir: reflect.SelectRecv, Chan: ch},
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

package hub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// startStream sends the items of a result as they come, until the stream ends or the call is canceled. It waits while the
// client reads too slowly.
//
// Streams may last long and do nothing for most of the time. So the method and the decoding of its arguments run on another
// goroutine, whose stack has grown for them.
func (k *call) startStream(result any) error {
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
	k.stream = &resultStream{k: k, start: rangeOver(k.ctx, v, k.sendItem)}
	k.c.hub.running.run(k.stream.run)
	return nil
}

// resultStream is a stream that a method has returned.
type resultStream struct {
	k     *call
	start func() error // see rangeOver
}

// run sends the items and then the answer.
func (s *resultStream) run() {
	k := s.k
	returned := false
	defer func() {
		if !returned {
			k.exited()
		}
		if next := k.end(); next != nil {
			k.c.hub.running.run(next.serve)
		}
	}()
	s.send()
	k.sendAnswer()
	returned = true
}

// send sends the items.
func (s *resultStream) send() {
	defer s.k.recovered(&s.k.answer)
	if err := s.start(); err != nil {
		s.k.answer.Completion = *s.k.failure(err)
	}
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

// rangeOver returns a function that calls send for the items of a stream until the stream ends or one of them fails. The end
// of ctx interrupts the wait for a channel; a function has to watch its own context.
func rangeOver(ctx context.Context, stream reflect.Value, send func(item reflect.Value) error) func() error {
	if kind, _ := streamOf(stream.Type()); kind == channel {
		return func() error { return rangeOverChannel(ctx, stream, send) }
	}
	y := &yielder{send: send}
	y.seq = bindSeq(stream, reflect.MakeFunc(stream.Type().In(0), y.yield))
	return y.run
}

// yielder is the yield function of an iter.Seq or iter.Seq2.
type yielder struct {
	seq  func() // calls the stream with yield
	send func(item reflect.Value) error
	err  error
	done bool
}

func (y *yielder) run() error {
	y.seq()
	y.done = true
	return y.err
}

func (y *yielder) yield(args []reflect.Value) []reflect.Value {
	if y.done {
		panic("hub: the stream goes on after its end") // as in a range loop
	}
	if len(args) == 2 {
		y.err, _ = args[1].Interface().(error)
	}
	if y.err == nil {
		y.err = y.send(args[0])
	}
	if y.err != nil {
		y.done = true
		return yieldStop
	}
	return yieldMore
}

var (
	yieldMore = []reflect.Value{reflect.ValueOf(true)}
	yieldStop = []reflect.Value{reflect.ValueOf(false)}
)

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

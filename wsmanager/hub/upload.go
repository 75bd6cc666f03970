package hub

import (
	"context"
	"errors"
	"reflect"
	"runtime/debug"
	"sync"
)

// upload is a stream that the client sends as an argument.
type upload struct {
	call     *call
	elements chan element
	stopped  chan struct{} // closed when no more elements are taken
	stopOnce sync.Once
}

// element is an item or the end of an upload.
type element struct {
	item    Raw
	end     bool
	failure string // of the client; only with end
}

func (u *upload) stop() { u.stopOnce.Do(func() { close(u.stopped) }) }

// deliverUpload delivers an element to its stream and reports whether the stream exists. It runs on the reader's goroutine
// and blocks it while the stream's buffer is full.
func (c *conn) deliverUpload(id string, e element) (found bool, err error) {
	c.mu.Lock()
	u := c.uploads[id]
	if u != nil && e.end {
		delete(c.uploads, id)
	}
	c.mu.Unlock()
	if u == nil {
		return false, nil
	}
	select {
	case u.elements <- e:
		return true, nil
	default:
	}
	c.session.setReadPaused(true)
	defer c.session.setReadPaused(false)
	if err := c.waitForConnected(); err != nil {
		return true, err
	}
	select {
	case u.elements <- e:
	case <-u.stopped:
	case <-c.ctx.Done():
	}
	return true, nil
}

// waitForConnected waits for the end of Options.Connected, before which no call begins. It fails if Connected waits for an
// answer of the client, which the caller, as the reader, would not receive.
func (c *conn) waitForConnected() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.connecting && !c.closing {
		if c.hookWaits > 0 {
			return ErrTooManyCalls
		}
		c.changed.Wait()
	}
	return nil
}

// next waits for an element. An error ends the stream.
func (u *upload) next(ctx context.Context) (raw Raw, more bool, err error) {
	select {
	case <-u.stopped:
		return nil, false, nil
	default:
	}
	select {
	case e := <-u.elements:
		if !e.end {
			return e.item, true, nil
		}
		u.stop()
		if e.failure != "" {
			return nil, false, inContext("the client ended its stream with an error", &RemoteError{u.call.method.name, e.failure})
		}
		return nil, false, nil
	case <-ctx.Done():
		u.stop()
		return nil, false, context.Cause(ctx)
	}
}

// nextItem waits for an item and decodes it.
func (u *upload) nextItem(p param, protocol Protocol) (item reflect.Value, more bool, err error) {
	raw, more, err := u.next(u.call.ctx)
	if err != nil || !more {
		return reflect.Value{}, false, err
	}
	item, err = p.decode(protocol, raw, p.item)
	if err != nil {
		return reflect.Value{}, false, &bindError{"An item of a stream is of the wrong type.", err}
	}
	return item, true, nil
}

// value makes the method's parameter.
func (u *upload) value(p param, protocol Protocol) reflect.Value {
	if p.stream == channel {
		return u.channel(p, protocol)
	}
	return reflect.MakeFunc(p.typ, func(args []reflect.Value) []reflect.Value {
		defer u.stop() // drops the items that come after a break
		yield := args[0]
		for {
			item, more, err := u.nextItem(p, protocol)
			switch {
			case err != nil:
				yield.Call([]reflect.Value{reflect.Zero(p.item), reflect.ValueOf(&err).Elem()})
				return nil
			case !more:
				return nil
			}
			if !yield.Call([]reflect.Value{item, reflect.Zero(typeError)})[0].Bool() {
				return nil
			}
		}
	})
}

// channel makes a channel that is closed when the stream ends. If the stream fails, the call's context ends before the
// channel is closed.
func (u *upload) channel(p param, protocol Protocol) reflect.Value {
	ch := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, p.item), 0)
	u.call.c.hub.running.run(func() {
		defer ch.Close()
		defer u.stop()
		u.forward(ch, p, protocol)
	})
	return ch.Convert(p.typ)
}

// forward sends the decoded items to the channel.
func (u *upload) forward(ch reflect.Value, p param, protocol Protocol) {
	k := u.call
	defer func() { // a type with its own decoding may panic
		if v := recover(); v != nil {
			k.cancel(&uploadError{&panicError{v, debug.Stack()}})
		}
	}()
	cases := []reflect.SelectCase{
		{Dir: reflect.SelectSend, Chan: ch},
		{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(k.ctx.Done())},
	}
	for {
		item, more, err := u.nextItem(p, protocol)
		if err != nil {
			k.cancel(&uploadError{err})
			return
		}
		if !more {
			return
		}
		cases[0].Send = item
		if chosen, _, _ := reflect.Select(cases); chosen == 1 {
			return
		}
	}
}

// uploadError is the cause of a call's context after a stream that the method takes as a channel has failed.
type uploadError struct{ err error }

func (e *uploadError) Error() string { return e.err.Error() }
func (e *uploadError) Unwrap() error { return e.err }

// uploadError returns the error of a stream that the method takes as a channel, or nil. If such a stream failed, the
// method's result is not sent: the method may not have noticed.
func (k *call) uploadError() error {
	var e *uploadError
	if errors.As(context.Cause(k.ctx), &e) {
		return e.err
	}
	return nil
}

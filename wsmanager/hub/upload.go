package hub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
)

// upload is a stream that the client sends as an argument.
type upload struct {
	call     *call
	elements chan element
	stopped  chan struct{} // closed when nobody takes elements any more
	stopOnce sync.Once
}

// element is an item, or the end.
type element struct {
	item    Raw
	end     bool
	failure string // of the client, with end
}

func (u *upload) stop() { u.stopOnce.Do(func() { close(u.stopped) }) }

// uploaded hands an element to its stream, and reports whether there is one of the id.
// It waits while the stream holds as much as it may, so that the client is held up.
func (c *conn) uploaded(id string, e element) (found bool, err error) {
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
	c.deaf(true)
	defer c.deaf(false)
	if err := c.awaitOpen(); err != nil {
		return true, err
	}
	select {
	case u.elements <- e:
	case <-u.stopped:
	case <-c.ctx.Done():
	}
	return true, nil
}

// awaitOpen waits for the end of Connected, before which no call begins. It fails if that
// waits for the client, which is not read from.
func (c *conn) awaitOpen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.opening && !c.closing {
		if c.hooks > 0 {
			return ErrTooManyCalls
		}
		c.changed.Wait()
	}
	return nil
}

// next waits for an element; its error ends the stream.
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
			return nil, false, fmt.Errorf("hub: the client ended its stream: %w", &RemoteError{u.call.method.name, e.failure})
		}
		return nil, false, nil
	case <-ctx.Done():
		u.stop()
		return nil, false, context.Cause(ctx)
	}
}

// value makes the parameter that the method gets.
func (u *upload) value(p param, protocol Protocol) reflect.Value {
	if p.stream == channel {
		return u.channel(p, protocol)
	}
	ctx := u.call.ctx
	return reflect.MakeFunc(p.typ, func(args []reflect.Value) []reflect.Value {
		defer u.stop() // what comes after a break is dropped
		yield := args[0]
		for {
			raw, more, err := u.next(ctx)
			if err == nil && !more {
				return nil
			}
			item := reflect.Zero(p.item)
			if err == nil {
				item, err = p.decode(protocol, raw, p.item)
				err = wrongItem(err)
			}
			if err != nil {
				item = reflect.Zero(p.item)
			}
			failure := reflect.Zero(typeError)
			if err != nil {
				failure = reflect.ValueOf(&err).Elem()
			}
			if !yield.Call([]reflect.Value{item, failure})[0].Bool() || err != nil {
				return nil
			}
		}
	})
}

func wrongItem(err error) error {
	if err == nil {
		return nil
	}
	return &bindError{"An item of a stream is of the wrong type.", err}
}

// channel makes a channel that is closed when the stream ends. That it failed, the
// method sees by its context, which has ended before.
func (u *upload) channel(p param, protocol Protocol) reflect.Value {
	k := u.call
	ch := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, p.item), 0)
	k.c.hub.running.run(func() {
		defer ch.Close()
		defer u.stop()
		defer func() { // of a type that decodes itself
			if v := recover(); v != nil {
				k.cancel(&uploadError{&panicError{v, debug.Stack()}})
			}
		}()
		cases := []reflect.SelectCase{
			{Dir: reflect.SelectSend, Chan: ch},
			{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(k.ctx.Done())},
		}
		for {
			raw, more, err := u.next(k.ctx)
			if err == nil && more {
				cases[0].Send, err = p.decode(protocol, raw, p.item)
				err = wrongItem(err)
			}
			if err != nil {
				k.cancel(&uploadError{err})
			}
			if err != nil || !more {
				return
			}
			if chosen, _, _ := reflect.Select(cases); chosen == 1 {
				return
			}
		}
	})
	return ch.Convert(p.typ)
}

// uploadError is the cause of a call's context whose stream, a channel, has failed.
type uploadError struct{ err error }

func (e *uploadError) Error() string { return e.err.Error() }
func (e *uploadError) Unwrap() error { return e.err }

// uploadFailed returns why a stream of the call that is a channel has failed, nil if
// none has: what the method made of the rest is no result.
func (k *call) uploadFailed() error {
	var e *uploadError
	if errors.As(context.Cause(k.ctx), &e) {
		return e.err
	}
	return nil
}

package hub

import (
	"context"
	"errors"
	"reflect"
	"runtime/debug"
)

// upload is a stream that the client sends as an argument.
type upload struct {
	call    *call
	arrived chan struct{} // buffered; signals that elements is not empty
	stopped chan struct{} // closed when no more elements are taken

	// Guarded by conn.mu.
	elements []element
	done     bool // stopped is closed
}

// element is an item or the end of an upload.
type element struct {
	item    Raw
	end     bool
	failure string // of the client; only with end
}

// memory is how many bytes an element counts for Options.MaxPendingBytes.
func (e *element) memory() int { return itemOverhead + len(e.item) + len(e.failure) }

// stop ends the stream: elements that were not taken are dropped.
func (u *upload) stop() {
	c := u.call.c
	c.mu.Lock()
	defer c.mu.Unlock()
	u.stopLocked()
}

func (u *upload) stopLocked() {
	if u.done {
		return
	}
	u.done = true
	close(u.stopped)
	for i := range u.elements {
		u.freeLocked(&u.elements[i])
	}
	u.elements = nil
	u.call.c.changed.Broadcast() // the reader may wait for space
}

func (u *upload) freeLocked(e *element) {
	c := u.call.c
	c.uploadItems--
	c.pendingBytes -= e.memory()
}

// fullLocked reports whether the element has to wait. One element may wait in any case, so that streams go on while calls
// take all memory.
func (u *upload) fullLocked(e *element) bool {
	c := u.call.c
	if u.done {
		return false
	}
	return len(u.elements) >= c.hub.opts.StreamBuffer && !e.end || c.uploadItems > 0 && e.memory() > c.hub.opts.MaxPendingBytes-c.pendingBytes
}

// deliverUpload delivers an element to its stream and reports whether the stream exists. It runs on the reader's goroutine
// and blocks it while there is no space.
func (c *conn) deliverUpload(s *serverSocket, id string, e element) (found bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.uploads[id]
	if u == nil {
		return false, nil
	}
	// Before the end of Options.Connected no call begins. If that waits for the client, it may wait for ever.
	stuck := func() bool { return c.connecting && c.hookWaits > 0 }
	if err := c.awaitSpaceLocked(s, func() bool { return u.fullLocked(&e) }, stuck); err != nil {
		return true, err
	}
	if e.end && c.uploads[id] == u {
		delete(c.uploads, id)
	}
	if u.done {
		return true, nil
	}
	c.uploadItems++
	c.pendingBytes += e.memory()
	u.elements = append(u.elements, e)
	select {
	case u.arrived <- struct{}{}:
	default:
	}
	return true, nil
}

// take takes the next element, if one has arrived.
func (u *upload) take() (e element, ok bool) {
	c := u.call.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(u.elements) == 0 {
		return element{}, false
	}
	e = u.elements[0]
	u.elements[0] = element{}
	if u.elements = u.elements[1:]; len(u.elements) == 0 {
		u.elements = nil
	}
	u.freeLocked(&e)
	c.changed.Broadcast()
	return e, true
}

// next waits for an element. An error ends the stream.
func (u *upload) next(ctx context.Context) (raw Raw, more bool, err error) {
	for {
		select {
		case <-u.stopped:
			return nil, false, nil
		default:
		}
		if e, ok := u.take(); ok {
			switch {
			case !e.end:
				return e.item, true, nil
			case e.failure != "":
				err = inContext("the client ended its stream with an error", &RemoteError{u.call.method.name, e.failure})
			}
			u.stop()
			return nil, false, err
		}
		select {
		case <-u.arrived:
		case <-u.stopped:
		case <-ctx.Done():
			u.stop()
			return nil, false, context.Cause(ctx)
		}
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
	if len(k.uploads) == 0 {
		return nil
	}
	var e *uploadError
	if errors.As(context.Cause(k.ctx), &e) {
		return e.err
	}
	return nil
}

package hub

import (
	"context"
	"slices"
)

// call is a client's call of a method, from its arrival to its end.
type call struct {
	c       *conn
	inv     *Invocation
	method  *method // nil for an unknown name
	problem string  // the error that the caller gets instead of a result; "" if the method is called
	size    int     // in bytes, for Options.MaxPendingBytes
	uploads []*upload

	ctx    *Context // nil before the call begins
	cancel context.CancelCauseFunc

	// Guarded by conn.mu.
	canceled bool // by the client, before the call began
	begun    bool // ctx is set
	slot     slotHolder
}

// newCall finds the method. Streaming calls need no slot.
func (c *conn) newCall(inv *Invocation) *call {
	k := &call{c: c, inv: inv, method: c.hub.methods.find(inv.Target), size: inv.size()}
	switch {
	case k.method == nil:
		k.problem = "Unknown hub method '" + inv.Target + "'"
	case k.method.mismatch(inv) != "":
		k.problem = failedToInvoke(inv.Target) + " " + k.method.mismatch(inv)
	case inv.Stream && k.method.result != streamResult:
		k.problem = "The client attempted to invoke the non-streaming '" + inv.Target + "' method with a streaming invocation."
	case !inv.Stream && k.method.result == streamResult:
		k.problem = "The client attempted to invoke the streaming '" + inv.Target + "' method with a non-streaming invocation."
	}
	k.slot.exempt = k.problem == "" && (k.method.result == streamResult || k.method.uploads > 0)
	return k
}

// enqueue queues a call. It runs on the reader's goroutine and blocks it while the client has too many pending calls.
func (c *conn) enqueue(inv *Invocation) error {
	k := c.newCall(inv)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.waitForPendingCallsLocked(k.size); err != nil {
		return err
	}
	if c.closing {
		return nil
	}
	if inv.ID != "" && c.calls[inv.ID] != nil {
		k.refuse("Invocation ID '" + inv.ID + "' is already in use.")
	} else if inv.ID != "" {
		if c.calls == nil {
			c.calls = make(map[string]*call)
		}
		c.calls[inv.ID] = k
	}
	if k.problem == "" {
		k.openUploadsLocked()
	}
	c.pendingCalls++
	c.pendingBytes += k.size
	c.queue = append(c.queue, k)
	c.startCallsLocked()
	return nil
}

// waitForPendingCallsLocked waits until a call of this size may be queued, or the connection is closing. It fails if no
// pending call can end without further messages of the client, which the caller, as the reader, would not receive.
func (c *conn) waitForPendingCallsLocked(size int) error {
	o := &c.hub.opts
	paused := false
	for !c.closing && c.pendingCalls > 0 && (c.pendingCalls >= o.MaxPendingCalls || size > o.MaxPendingBytes-c.pendingBytes) {
		if c.slots.active == 0 && c.slots.reacquiring == 0 && (!c.connecting || c.hookWaits > 0) {
			return ErrTooManyCalls
		}
		if !paused {
			paused = true
			c.session.setReadPaused(true)
			defer c.session.setReadPaused(false)
		}
		c.changed.Wait()
	}
	return nil
}

// refuse answers the call with an error. Such a call needs a slot, so that its answer comes in the order of the calls.
func (k *call) refuse(problem string) { k.problem, k.slot.exempt = problem, false }

// messageOverhead is how many bytes a queued message counts besides its values.
const messageOverhead = 64

// size is how many bytes of memory an invocation counts for.
func (inv *Invocation) size() int {
	n := messageOverhead + len(inv.ID) + len(inv.Target)
	for _, a := range inv.Arguments {
		n += len(a)
	}
	for _, id := range inv.StreamIDs {
		n += len(id)
	}
	return n
}

// openUploadsLocked registers the call's streams, so that their items are delivered.
func (k *call) openUploadsLocked() {
	c := k.c
	for i, id := range k.inv.StreamIDs {
		if c.uploads[id] != nil || slices.Contains(k.inv.StreamIDs[:i], id) {
			k.refuse("Stream ID '" + id + "' is already in use.")
			return
		}
	}
	for _, id := range k.inv.StreamIDs {
		u := &upload{call: k, elements: make(chan element, c.hub.opts.StreamBuffer), stopped: make(chan struct{})}
		k.uploads = append(k.uploads, u)
		if c.uploads == nil {
			c.uploads = make(map[string]*upload)
		}
		c.uploads[id] = u
	}
}

// startCallsLocked implements slotOwner.
func (c *conn) startCallsLocked() {
	for len(c.queue) > 0 && !c.connecting && !c.closing {
		k := c.queue[0]
		if !c.slots.tryAcquireLocked(&k.slot) {
			return
		}
		c.queue[0] = nil
		c.queue = c.queue[1:]
		if len(c.queue) == 0 {
			c.queue = nil // frees the array of a long queue
		}
		k.begun = true
		ctx, cancel := context.WithCancelCause(c.ctx)
		k.ctx, k.cancel = &Context{Context: ctx, c: c, call: k}, cancel
		if k.canceled {
			cancel(ErrCanceled)
		}
		c.hub.running.run(k.run)
	}
}

// finish ends a call that has begun.
func (k *call) finish() {
	k.cancel(ErrReturned)
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots.endLocked(&k.slot)
	c.pendingCalls--
	c.pendingBytes -= k.size
	c.startCallsLocked()
	c.changed.Broadcast()
}

// unregister frees the ids of the call and of its streams. It runs before the answer is sent, because the client may then
// use them again.
func (k *call) unregister() {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, u := range k.uploads {
		u.stop()
		if id := k.inv.StreamIDs[i]; c.uploads[id] == u {
			delete(c.uploads, id)
		}
	}
	if c.calls[k.inv.ID] == k {
		delete(c.calls, k.inv.ID)
	}
}

// cancelCall ends the context of a call.
func (c *conn) cancelCall(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch k := c.calls[id]; {
	case k == nil: // it has ended
	case k.begun:
		k.cancel(ErrCanceled)
	default:
		k.canceled = true
	}
}

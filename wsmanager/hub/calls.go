package hub

import (
	"context"
	"slices"
	"sync"
)

// call is a call of a client, from its arrival to its end.
type call struct {
	c       *conn
	inv     *Invocation
	method  *method // nil if there is none of the name
	problem string  // that its caller is told instead of a result
	size    int     // in bytes, for MaxPendingBytes
	slot    bool    // it counts among those that run at a time
	uploads []*upload

	ctx    *Context // from its beginning on
	cancel context.CancelCauseFunc

	// Guarded by conn.mu.
	canceled bool // by the client, before it began
	begun    bool
	over     bool
	holding  bool // a slot
	waiting  int  // goroutines of it that wait for the client's answer
}

// enqueue takes a call from the client. It is called by the reader, which waits here for
// room, as long as there will be some without it.
func (c *conn) enqueue(inv *Invocation) error {
	k := &call{c: c, inv: inv, method: c.hub.methods.find(inv.Target)}
	k.size = inv.size()
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
	k.slot = k.problem != "" || k.method.result != streamResult && k.method.uploads == 0

	o := &c.hub.opts
	c.mu.Lock()
	defer c.mu.Unlock()
	deaf := false
	for !c.closing && c.pending > 0 && (c.pending >= o.MaxPendingCalls || k.size > o.MaxPendingBytes-c.bytes) {
		if c.active == 0 && c.returning == 0 && (!c.opening || c.hooks > 0) {
			return ErrTooManyCalls // nothing ends unless the client does something, which we would not read
		}
		if !deaf {
			deaf = true
			c.deaf(true)
			defer c.deaf(false)
		}
		c.changed.Wait()
	}
	if c.closing {
		return nil
	}
	if inv.ID != "" && c.calls[inv.ID] != nil {
		k.problem, k.slot = "Invocation ID '"+inv.ID+"' is already in use.", true
	} else if inv.ID != "" {
		if c.calls == nil {
			c.calls = make(map[string]*call)
		}
		c.calls[inv.ID] = k
	}
	if k.problem == "" {
		k.problem = k.openUploadsLocked()
	}
	c.pending++
	c.bytes += k.size
	c.queue = append(c.queue, k)
	c.startLocked()
	return nil
}

// size is how many bytes of memory an invocation is counted as.
func (inv *Invocation) size() int {
	n := overhead + len(inv.ID) + len(inv.Target)
	for _, a := range inv.Arguments {
		n += len(a)
	}
	for _, id := range inv.StreamIDs {
		n += len(id)
	}
	return n
}

// openUploadsLocked lets the items of the call's streams find their way.
func (k *call) openUploadsLocked() (problem string) {
	c := k.c
	for i, id := range k.inv.StreamIDs {
		if c.uploads[id] != nil || slices.Contains(k.inv.StreamIDs[:i], id) {
			k.slot = true
			return "Stream ID '" + id + "' is already in use."
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
	return ""
}

// startLocked begins calls from the front of the queue, as far as there are slots for
// them.
func (c *conn) startLocked() {
	for len(c.queue) > 0 && !c.opening && !c.closing {
		k := c.queue[0]
		if k.slot {
			if c.active+c.returning >= c.hub.opts.MaxParallelCalls {
				return
			}
			c.active++
			k.holding = true
		}
		c.queue[0] = nil
		c.queue = c.queue[1:]
		if len(c.queue) == 0 {
			c.queue = nil // not to keep the array of a burst
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

// finish is the end of a call that has begun.
func (k *call) finish() {
	k.cancel(ErrReturned)
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	k.over = true
	if k.holding {
		k.holding = false
		c.active--
	}
	c.pending--
	c.bytes -= k.size
	c.startLocked()
	c.changed.Broadcast()
}

// forget frees the call's id and those of its streams, before its end is told.
func (k *call) forget() {
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
	case k == nil: // it is over
	case k.begun:
		k.cancel(ErrCanceled)
	default:
		k.canceled = true
	}
}

// stepAside lets other calls run while this one waits for its client, which may
// not answer before it has called the hub itself. The function that it returns comes back.
func (k *call) stepAside() (back func()) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	k.waiting++
	if k.holding {
		k.holding = false
		c.active--
		c.startLocked()
		c.changed.Broadcast()
	}
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		k.waiting--
		c.returning++
		for k.slot && !k.holding && !k.over && k.waiting == 0 && !c.closing && c.active >= c.hub.opts.MaxParallelCalls {
			c.changed.Wait()
		}
		c.returning--
		if k.slot && !k.holding && !k.over && k.waiting == 0 {
			k.holding = true
			c.active++
		}
		c.startLocked()
		c.changed.Broadcast()
	})
}

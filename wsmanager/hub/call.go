package hub

import (
	"reflect"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/lazyctx"
)

// call is a client's call of a method, from its arrival to its end.
type call struct {
	c       *conn
	inv     *Invocation
	method  *method // nil for an unknown name
	problem string  // the error that the caller gets instead of a result; "" if the method is called
	size    int     // see memory
	decoded int     // memory of the decoded arguments
	counted bool    // in conn.slotCalls
	uploads []*upload
	stream  *resultStream // that the method has returned; nil without

	ctx     *Context // of the method; nil before the call begins
	context Context  // what ctx points to
	life    lazyctx.Context
	answer  answerMessage
	in      [2]reflect.Value // for bind

	// Guarded by conn.mu.
	nextByID *call // in conn.calls
	canceled bool  // by the client, before the call began
	begun    bool  // ctx is set
	slot     slotHolder
}

// newCall finds the method. Streaming calls need no slot. A call that is refused keeps no arguments.
func (c *conn) newCall(inv *Invocation) *call {
	k := &call{c: c, inv: inv, method: c.hub.methods.find(inv.Target)}
	switch {
	case k.method == nil:
		k.refuse(failedToInvoke(inv.Target) + " HubException: Method does not exist.")
	case k.method.mismatch(inv) != "":
		k.refuse(failedToInvoke(inv.Target) + " " + k.method.mismatch(inv))
	case inv.Stream && k.method.result != streamResult:
		k.refuse("The client attempted to invoke the non-streaming '" + inv.Target + "' method with a streaming invocation.")
	case !inv.Stream && k.method.result == streamResult:
		k.refuse("The client attempted to invoke the streaming '" + inv.Target + "' method with a non-streaming invocation.")
	default:
		k.slot.exempt = k.method.result == streamResult || k.method.uploads > 0
		k.decoded = k.decodedSize()
	}
	return k
}

// enqueue queues a call. It runs on the reader's goroutine and blocks it while the client has too many pending calls.
func (c *conn) enqueue(s *serverSocket, inv *Invocation) error {
	k := c.newCall(inv)
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.decoded > 0 && k.slot.exempt && c.tooManyCallsLocked(k) && c.stuckLocked() {
		k.refuse(failedToInvoke(inv.Target) + " Its arguments take too much memory while other calls run.")
	}
	if err := c.awaitSpaceLocked(s, func() bool { return c.tooManyCallsLocked(k) }, c.stuckLocked); err != nil {
		return err
	}
	switch other := c.calls.get(inv.ID); { // as ASP.NET Core does, which knows only the ids of streams
	case inv.ID == "":
	case other == nil:
		c.calls.add(k)
	case inv.Stream && !other.inv.Stream:
		c.calls.remove(other)
		c.calls.add(k)
	case inv.Stream:
		k.refuse("Invocation ID '" + inv.ID + "' is already in use.")
	default: // runs, too; CancelInvocation means the stream, or else the earlier call
	}
	if k.problem == "" {
		k.openUploadsLocked()
	}
	k.size = k.memory()
	c.pendingCalls++
	if k.counted = !k.slot.exempt; k.counted {
		c.slotCalls++
	}
	c.pendingBytes += k.size
	if len(c.queue) > 0 || !k.beginLocked() {
		c.queue = append(c.queue, k)
		return nil
	}
	startFromReaderLocked(s, k)
	return nil
}

// tooManyCallsLocked reports whether a call has to wait. One that is alone never has to, nor has one because of the memory
// that its arguments will take if no other call needs a slot: it ends by itself.
func (c *conn) tooManyCallsLocked(k *call) bool {
	o := &c.hub.opts
	if c.pendingCalls == 0 {
		return false
	}
	size := k.memory()
	if !k.slot.exempt && c.slotCalls == 0 {
		size -= k.decoded
	}
	return int(c.pendingCalls) >= o.MaxPendingCalls || size > o.MaxPendingBytes-c.pendingBytes
}

// refuse makes the call's answer an error. Such a call needs a slot, so that its answer comes in the order of the calls.
func (k *call) refuse(problem string) {
	k.problem, k.slot.exempt, k.decoded = problem, false, 0
	k.inv = &Invocation{ID: k.inv.ID, Stream: k.inv.Stream}
}

// What a pending call, its arguments, its streams and their items take besides their bytes, in bytes of memory.
const (
	callOverhead     = 512     // call, Invocation, entries in the queue and by id
	exemptOverhead   = 2 << 10 // of a call that needs no slot: half of its goroutine and contexts, since 300 streams at once are usual
	argumentOverhead = 32      // slice header, and what the allocator rounds up
	uploadStack      = 4 << 10 // of a method that takes streams, in addition
	uploadOverhead   = 256
	itemOverhead     = 96
)

// memory is how many bytes a pending call counts for Options.MaxPendingBytes.
func (k *call) memory() int {
	n := callOverhead + k.inv.size() + k.decoded + len(k.problem)
	if k.slot.exempt {
		n += exemptOverhead
	}
	if k.slot.exempt && k.method.uploads > 0 {
		n += uploadStack + uploadOverhead*k.method.uploads
	}
	return n
}

// size is how many bytes of memory the values of an invocation take.
func (inv *Invocation) size() int {
	n := len(inv.ID) + len(inv.Target)
	for _, a := range inv.Arguments {
		n += argumentOverhead + len(a)
	}
	for _, id := range inv.StreamIDs {
		n += argumentOverhead + len(id)
	}
	return n
}

// openUploadsLocked registers the call's streams, so that their items are delivered.
func (k *call) openUploadsLocked() {
	c := k.c
	streams := k.method.streams()
	for i, id := range k.inv.StreamIDs {
		if c.uploads[id] != nil || slices.Contains(k.inv.StreamIDs[:i], id) {
			k.refuse("Stream ID '" + id + "' is already in use.")
			return
		}
	}
	for i, id := range k.inv.StreamIDs {
		u := &upload{call: k, item: streams[i], arrived: make(chan struct{}, 1), stopped: make(chan struct{})}
		k.uploads = append(k.uploads, u)
		if c.uploads == nil {
			c.uploads = make(map[string]*upload)
		}
		c.uploads[id] = u
	}
}

// beginNextLocked begins the first call that waits, and returns it. It returns nil if that may not begin yet.
func beginNextLocked(c *conn) *call {
	if len(c.queue) == 0 || !c.queue[0].beginLocked() {
		return nil
	}
	k := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	if len(c.queue) == 0 {
		c.queue = nil // frees the array of a long queue
	}
	return k
}

// beginLocked begins a call, if that may begin: all that came before have begun.
func (k *call) beginLocked() bool {
	c := k.c
	if c.connecting || c.closing || !c.slots.tryAcquireLocked(&k.slot) {
		return false
	}
	k.begun = true
	k.life.Init(c.ctx)
	k.context = Context{Context: &k.life, c: c, call: k}
	k.ctx = &k.context
	if k.canceled {
		k.cancel(ErrCanceled)
	}
	return true
}

// cancel ends the context of a call that has begun.
func (k *call) cancel(cause error) { k.life.Cancel(cause) }

// finish ends a call that has begun. It begins the next one, which it returns for the same goroutine, and starts all others
// that may begin.
func (k *call) finish() (next *call) {
	k.cancel(ErrReturned)
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots.endLocked(&k.slot)
	c.pendingCalls--
	if k.counted {
		c.slotCalls--
	}
	c.pendingBytes -= k.size
	next = beginNextLocked(c)
	c.startCallsLocked()
	c.changed.Broadcast()
	return next
}

// unregister frees the ids of the call and of its streams. It runs before the answer is sent, because the client may then
// use them again.
func (k *call) unregister() {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, u := range k.uploads {
		u.stopLocked()
		if id := k.inv.StreamIDs[i]; c.uploads[id] == u {
			delete(c.uploads, id)
		}
	}
	c.calls.remove(k)
}

// cancelCall ends the context of a call.
func (c *conn) cancelCall(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch k := c.calls.get(id); {
	case k == nil: // it has ended
	case k.begun:
		k.cancel(ErrCanceled)
	default:
		k.canceled = true
	}
}

// Package evloop waits for many sockets with one goroutine and no buffer, and
// calls their handlers inline, on the goroutine that polls. A handler that does
// not return soon is left behind with its socket, and another goroutine takes
// the loop over, so that it holds up nobody else. It knows nothing of WebSockets.
//
// # Usage
//
// A [Loop] takes over descriptors ([Loop.Add]) and calls a [Handler] for each.
// The [Socket] that belongs to the descriptor is its handle: it writes, which
// never blocks, and asks for calls of the handler. It is embedded by value in
// the user's connection, so that a connection is one object:
//
//	type conn struct {
//		evloop.Socket
//		// …
//	}
//	err := loop.Add(fd, c, &c.Socket)
//
// An idle socket costs its Socket (56 bytes), a pointer in a table and what the
// kernel has for it: no goroutine, no buffer, no timer. An event costs one
// compare-and-swap beside the system calls, and allocates nothing. The
// descriptor must be in no other epoll set: one that Go's netpoller holds too
// costs both of them each event.
//
// On systems without epoll [New] returns errors.ErrUnsupported.
//
// # The loop
//
// All sockets are in one epoll set, A, level-triggered. A itself is the only
// member of a second set, B, which is in Go's netpoller as any file: so a leader
// that finds nothing to do waits as goroutines wait for sockets, without a
// thread. While it is busy A is silenced in B, or each arrival would wake another
// thread that finds nothing.
//
// One goroutine at any time is the leader. It polls A for a batch of events and
// serves them one after the other: one read for each, of at most 16 KiB; what is
// left comes with the next poll, after the others' turn.
//
// The word w says who leads. It is seq<<1 | busy, where seq grows by one with
// each event and never repeats. Whoever owns the current value of w owns the
// loop, the batch in progress and the place in it. Only two steps compete for a
// busy value: the leader's, to the next event or to idle, when a handler has
// returned; and the watchdog's, which deposes the leader. Both are a
// compare-and-swap, so that one of them fails:
//
//	leader    w = 2s     →  2s+1     it polled: event s begins (a plain store: nobody competes for an idle w)
//	leader    w = 2s+1   →  2s+3     event s is over, the next one of the batch begins
//	leader    w = 2s+1   →  2s+2     event s was the last of the batch: idle, poll
//	watchdog  w = 2s+1   →  2s+3     event s goes on without the loop; a new leader takes the next
//
// A leader whose step fails has been deposed. It touches neither the loop nor
// the batch again; it tidies up after its own event and its goroutine ends. The
// batch belongs to the leader that polled it, is written before it leads
// through it and never again once that leader is deposed: the new leader reads
// on where the old one was.
//
// The watchdog is a timer that looks at w, every few milliseconds while there is
// work and not at all while there is none. An event that it sees twice may be
// stuck. If no goroutine runs but the watchdog's own, the leader has given up its
// processor: it is blocked, and deposed at once. Otherwise it computes, or the
// operating system has put it aside, which on a full machine is common: it is
// deposed after 5 ms of the same event. (Where runtime/metrics can't count
// running goroutines, that is the only way.)
//
// # Who owns a socket
//
// The owner of a socket is who may read it, call Data, Kicked and End, and close
// the descriptor. There is one at most; the mode says who:
//
//	mode      registered for          owner                        an event of the kernel
//	inline    IN, RDHUP               none; during one of its      the leader reads and calls the handler
//	                                  events the leader
//	slow      IN, RDHUP, one-shot     none                         becomes detached; a goroutine gets it
//	detached  nothing, one-shot       a goroutine, or a deposed    ignored: the owner looks before it hands back
//	          (ERR and HUP come once) leader until its event ends,
//	                                  or who called Take
//
// and the mode changes so:
//
//	from      to        by                                    when
//	inline    detached  the watchdog                          it deposed the leader during an event of the socket
//	inline    detached  the leader                            the loop is suspicious (below); a goroutine gets it
//	slow      detached  the leader                            an event; a goroutine gets it
//	detached  inline    its owner                             done, and quick
//	detached  slow      its owner                             done, and not quick, or not yet proven to be
//	detached  detached  who calls Take                        the handler's call does not return, and is not waited for
//	detached  slow      the same, by Release                  nothing else is to be done first
//	any       gone      its owner                             end of file, error, Shut, Data returned false
//
// EPOLLOUT is added to any of the registrations while WantWritable asks for it.
// It belongs to no owner: the leader calls Writable whoever owns the socket. For
// that call alone the flag flushing stands in for an owner, so that End never
// runs beside it: who wants to end the socket meanwhile leaves that to the
// goroutine in Writable.
//
// A handler whose Data does not return may yet want its socket read: then [Socket.Take]
// makes another goroutine the owner, which gives the socket back to the loop by Release.
// Calls of the handler then run beside the one that does not return, which is the
// handler's to reckon with. What that call returns one day, or how it ends, is of no
// concern to the socket.
//
// A handler that blocked is remembered: its socket is slow until 8, later up to
// 2,048 events in a row were quick. A loop in which three leaders have blocked
// within 100 ms is suspicious for a second: sockets that are not proven yet go to
// goroutines. After forty within a second it retreats: all do, for a second at
// first, up to a minute. Goroutines of a loop are therefore the leader and at
// most one for each socket whose handler is running now.
//
// Kick is an event as well: it is posted to the leader, who takes posts into its
// batch, so that a Kicked that blocks is deposed like a Data. A detached socket's
// owner runs it before it hands the socket back.
//
// # Races that are won by rule
//
//   - The watchdog detaches the socket of the event on behalf of the leader that
//     it has deposed, and notes the event in by; only then does the new leader
//     start. The deposed leader hands back what is detached for its event, and
//     nothing else.
//   - If the deposed leader is done first, it notes the event in skip, and the
//     watchdog detaches nothing.
//   - A leader that gives a socket to a goroutine clears by, or it would hand the
//     socket back under that goroutine's hands.
//   - An owner whose Data was taken from it by Take finds that out under Socket.mu when
//     the call returns, and touches nothing: a goroutine by the number of Takes, a leader
//     by the events. Take clears by, and the watchdog notes in last, for good, the event
//     during which it detached the socket last. So a leader whose event is the last one
//     owns the socket while by says so; one whose event is earlier than the last was
//     taken from long ago; and for one whose event is later the watchdog has yet to come.
//     Take itself finds the socket detached or does nothing: an inline one is its
//     leader's, whom nobody has deposed.
//   - A leader may be deposed before it has looked at the socket of its event,
//     and the socket may become inline again for its successor in between. So it
//     looks at the mode first and at w then (leader.look). If it no longer leads,
//     it does not act on the event, but arms the socket anew, as the event may
//     have used up a one-shot registration.
//   - The owner alone closes the descriptor, under Socket.mu, and the table
//     forgets it before. Writes, shutdowns and registrations are made under
//     Socket.mu and only while it is open: none can reach a descriptor that is
//     someone else's by now. Everyone but the owner ends a socket by shutdown(2),
//     which the owner then reads.
//   - An event carries the descriptor and the generation of the socket that was
//     added. Events of an earlier one are skipped.
//
// # Memory model
//
// What an owner did has to happen before what the next owner does. From leader to
// leader it does through w and the go statement. Through the kernel, from a
// goroutine that arms a socket to the leader that gets its event, there is no
// such edge in Go's memory model: the atomic Socket.state is one, stored before
// the socket is armed and loaded when the event is served. Reads and writes are
// raw system calls, of which the race detector knows nothing: it sees no order
// between two handlers' calls that this package did not make. (Nor between a
// write by one side of a connection and the read by the other, which it does
// take from package net. A test that relies on it needs an order of its own.)
//
// # Failure
//
// A panic in a handler, or runtime.Goexit, ends its socket, with a [*PanicError]
// or [ErrGoexit]. If it was the leader's goroutine, a new one takes its place in
// w as it was, deposed or not, and ends the socket.
//
// # Testing
//
// ownership_test.go plays the races above step by step. TestChurn finds those
// that nobody thought of: run it for longer with
//
//	go test -race -run Churn ./wsmanager/internal/evloop -churn 1m
package evloop

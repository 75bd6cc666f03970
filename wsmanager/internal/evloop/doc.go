// Package evloop waits for many sockets with one goroutine and without buffers. It
// calls the sockets' handlers inline, on the goroutine that polls. If a handler does
// not return soon, its goroutine keeps the socket and another goroutine takes the loop
// over, so that the other sockets do not wait. The package knows nothing of WebSockets.
//
// # Usage
//
// A [Loop] takes over descriptors ([Loop.Add]) and calls a [Handler] for each. The
// descriptor's handle is a [Socket]: it writes, which never blocks, and requests calls
// of the handler. It is embedded by value in the user's connection, so that a connection
// is one object:
//
//	type conn struct {
//		evloop.Socket
//		// …
//	}
//	err := loop.Add(fd, c, &c.Socket)
//
// An idle socket costs its Socket (56 bytes), a pointer in a table and the kernel's
// part: no goroutine, no buffer, no timer. An event costs one compare-and-swap beside
// the system calls, and does not allocate. The descriptor must be in no other epoll set:
// if Go's netpoller holds it too, each event is processed twice.
//
// A [Pool] distributes sockets over several loops, which exist while they have sockets.
//
// On systems without epoll [New] returns errors.ErrUnsupported.
//
// # The loop
//
// All sockets are in one epoll set, A, level-triggered. A itself is the only member of a
// second set, B, which is in Go's netpoller like any file. So a leader without work
// waits as goroutines wait for sockets, without a thread. While the leader is busy, A is
// silenced in B: otherwise each arrival would wake another thread that finds nothing.
//
// One goroutine at any time is the leader. It polls A for a batch of events and serves
// them one after the other. Each event causes one read of at most 16 KiB, or of the memory that
// the handler has for it. The rest follows with the next poll, after the other sockets.
//
// The word w identifies the leader. It is seq<<1 | busy, where seq increases by one with
// each event and never repeats. The goroutine that owns the current value of w owns the
// loop, the batch in progress and the position in it. Only two steps compete for a busy
// value: the leader's step to the next event or to idle, when a handler has returned,
// and the step with which the watchdog deposes the leader. Both are a compare-and-swap,
// so one of them fails:
//
//	leader    w = 2s     →  2s+1     it polled: event s begins (a plain store: nothing competes for an idle w)
//	leader    w = 2s+1   →  2s+3     event s is over, the next one of the batch begins
//	leader    w = 2s+1   →  2s+2     event s was the last of the batch: idle, poll
//	watchdog  w = 2s+1   →  2s+3     event s continues without the loop; a new leader takes the next
//
// A leader whose step fails has been deposed. It touches neither the loop nor the batch
// again. It cleans up after its own event, and its goroutine ends. A batch belongs to
// the leader that polled it. It is written before that leader leads through it, and
// never once that leader is deposed: the new leader continues reading where the old one
// was.
//
// The watchdog is a timer that reads w every few milliseconds while there is work, and
// not at all otherwise. An event that it sees twice may be stuck. If no goroutine runs
// except the watchdog's own, the leader has given up its processor: it is blocked, and
// deposed at once. Otherwise it computes, or the operating system has preempted it,
// which is common on a busy machine: it is deposed after 5 ms in the same event. (Where
// runtime/metrics can't count running goroutines, this is the only criterion.)
//
// # Who owns a socket
//
// The owner of a socket is the goroutine that may read it, call Data, Kicked and End,
// and close the descriptor. There is at most one. The mode tells which:
//
//	mode      registered for          owner                        an event of the kernel
//	inline    IN, RDHUP               none; during one of its      the leader reads and calls the handler
//	                                  events the leader
//	slow      IN, RDHUP, one-shot     none                         becomes detached; a goroutine gets it
//	detached  nothing, one-shot       a goroutine, or a deposed    ignored: the owner checks before it hands back
//	          (ERR and HUP come once) leader until its event ends,
//	                                  or the caller of Take
//
// The mode changes as follows:
//
//	from      to        by                                    when
//	inline    detached  the watchdog                          it deposed the leader during an event of the socket
//	inline    detached  the leader                            the breaker is not closed (below); a goroutine gets it
//	slow      detached  the leader                            an event; a goroutine gets it
//	detached  inline    its owner                             done, and the required streak is reached
//	detached  slow      its owner                             done, and the required streak is not reached
//	detached  detached  the caller of Take                    the handler's call does not return, and is abandoned
//	detached  slow      the same, with Release                nothing else has to be done first
//	any       gone      its owner                             end of file, error, Shut, Data returned false
//
// While WantWritable is pending, EPOLLOUT is added to any of these registrations. It
// belongs to no owner: the leader calls Writable whichever goroutine owns the socket.
// During that call the flag inWritable prevents End: an owner that wants to end the
// socket leaves that to the goroutine in Writable.
//
// If Data does not return but the socket has to be read, [Socket.Take] makes another
// goroutine the owner. It gives the socket back to the loop with Release. Handler calls
// may then overlap the call that does not return; the handler has to expect that. How
// that call ends does not affect the socket.
//
// A handler that blocked is recorded: its socket is slow until 8, later up to 2,048
// events in a row were fast. A circuit breaker watches the loop as a whole. If three
// leaders have blocked within 100 ms, it is half-open for a second: sockets with fewer
// than 8 fast events in a row go to goroutines. After forty within a second it opens: all
// sockets go to goroutines, for a second at first, up to a minute. So a loop has
// at most one goroutine for the leader and one for each socket whose handler is running.
//
// Options.FollowUp runs after Data as part of the same event, but without the socket, which
// has no owner from then on. If the leader is deposed in it, the socket stays inline for the
// next leader: a handler that wants to receive while it works leaves the work to FollowUp.
//
// A kick is an event too: it is posted to the leader, which takes posts into its batch.
// So a leader whose Kicked blocks is deposed as in Data. A detached socket's owner calls
// Kicked before it hands the socket back.
//
// # Races and the rules that decide them
//
//   - The watchdog detaches the socket of the event on behalf of the leader that it has
//     deposed, and notes the event in handoff.event. Only then does the new leader start.
//     The deposed leader hands back a socket only if it was detached for its event.
//   - If the deposed leader is done first, it notes the event in ignoreEvent, and the
//     watchdog does not detach the socket.
//   - A leader that gives a socket to a goroutine clears event. Otherwise it would hand
//     the socket back while that goroutine owns it.
//   - When Data returns to an owner from which Take has taken the socket, that owner
//     finds out under Socket.mu and touches nothing: a goroutine compares the number of
//     Takes, a leader compares events. Take clears event, and the watchdog keeps in
//     lastEvent, for good, the event during which it last detached the socket. So a
//     leader whose event is lastEvent owns the socket while event says so. A leader
//     whose event is earlier has lost the socket. For a leader whose event is later, the
//     watchdog has not detached the socket yet. Take itself requires a detached socket:
//     an inline one belongs to a leader that has not been deposed.
//   - A leader may be deposed before it has looked at the socket of its event, and the
//     socket may become inline again for its successor in between. So it reads the mode
//     first and w then (leader.stateIfLeading). If it does not lead any more, it ignores
//     the event, but arms the socket anew, because the event may have used up a one-shot
//     registration.
//   - Only the owner closes the descriptor, under Socket.mu, and the table forgets it
//     before. Writes, shutdowns and registrations happen under Socket.mu and only while
//     the socket is open: none can reach a descriptor that has been reused. All other
//     goroutines end a socket with shutdown(2), which the owner then reads.
//   - An event carries the descriptor and the generation of the socket that was added.
//     Events of an earlier generation are skipped.
//
// # Memory model
//
// The actions of an owner have to happen before those of the next owner. Between leaders
// w and the go statement order them. From a goroutine that arms a socket to the leader
// that gets its event, the kernel gives no happens-before edge in Go's memory model. The
// atomic Socket.state is that edge: it is stored before the socket is armed and loaded
// when the event is served. Reads and writes are raw system calls that the race detector
// does not know: it sees no order between two handlers' calls except the order that this
// package makes. (Nor between a write by one side of a connection and the read by the
// other, for which package net provides an order. A test that relies on it needs an
// order of its own.)
//
// # Failure
//
// A panic in a handler, or runtime.Goexit, ends its socket, with a [*PanicError] or
// [ErrGoexit]. If it happened on the leader's goroutine, a new goroutine takes over its
// w, deposed or not, and ends the socket.
//
// # Testing
//
// ownership_test.go plays the races above step by step. TestChurn looks for others. To
// run it for longer:
//
//	go test -race -run Churn ./wsmanager/internal/evloop -churn 1m
package evloop

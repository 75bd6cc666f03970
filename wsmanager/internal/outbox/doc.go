// Package outbox is the queue of the frames that one connection still has to write, and of
// the sends that wait for room in it. It is a data structure: it has no lock, writes to
// nothing, and knows neither limits nor policies. Of a frame it reads only the first byte,
// which tells messages from control frames (RFC 6455, section 5.2).
//
// # Rules
//
// Only whole frames enter. A frame of which bytes have been written, or that a write has
// claimed, stays until it has been written. Messages behind it can be dropped. Control
// frames do not count in the load and are never dropped: a pong or ping waits in a slot of
// its own, where a newer one replaces it (RFC 6455, section 5.5.3), and goes before the next
// frame. The close frame is pushed like a message and is the last.
//
// # Ownership
//
// The connection owns its [Queue] and guards it with its own lock. Only Progressed and
// LastProgress may be called without it. Frames belong to the Queue once they are pushed,
// and are never changed, because several queues may share one, except those of
// [Queue.PushPooled], whose memory has another use once they are written. An empty Queue costs nothing:
// the methods that read treat a nil *Queue as empty, and a connection drops its Queue when
// it is empty.
package outbox

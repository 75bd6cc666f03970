package broadcast

import "sync"

// Conn is a pointer to a connection. Its Locker is the lock of the connection, which is held
// in calls of the methods below Reception.
type Conn[C comparable] interface {
	comparable
	sync.Locker

	// Reception returns the part of the connection that belongs to this package, the same
	// one at each call. It is called with and without the lock.
	Reception() *Reception[C]

	// Send writes a frame, or queues it. The frame is shared with other connections.
	Send(frame []byte) Outcome

	// WriteFrames writes frames together, if nothing has to be written before them. joined is
	// their concatenation. It returns how many of them it has written or queued: the first
	// ones, maybe none.
	WriteFrames(joined []byte, frames [][]byte) (sent int)

	// Enqueue queues a frame. The frame is shared with other connections.
	Enqueue(frame []byte) Outcome

	// UnlockAndYield ends Lock. Then it lets the writer of the connection run if many
	// frames are queued.
	UnlockAndYield()
}

// Outcome is the result of a send to one connection.
type Outcome uint8

// The outcomes.
const (
	Queued  Outcome = iota // written or queued
	Dropped                // the outbox is full
	Closed                 // the connection is closing
)

// Result counts connections by the result of a broadcast.
type Result struct{ Queued, Dropped int }

func (s *Result) add(sendable bool, n int) {
	if sendable {
		s.Queued += n
	} else {
		s.Dropped += n
	}
}

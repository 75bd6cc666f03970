// Package sender is the sending half of a connection: it writes frames to the transport, queues
// those that the transport has not taken in the connection's outbox, and applies the limits and
// the policy for slow consumers to the queue.
//
// It neither makes frames nor changes them, except control frames, which it masks with the keys
// of a client. It decides nothing about the connection: it reports failures and progress to its
// [Host], which closes the connection. It starts no timer; the Host asks for the last progress.
//
// # Ownership
//
// A connection holds its [Sender] by value and guards it with its own lock. The Sender has no
// pointer to the connection: each call gets the Host as an argument. All methods need the lock,
// except those that are marked as safe without it; the writer's goroutine takes it itself, and
// releases it during a write that may block. A [Config] belongs to a Manager, is shared by its
// Senders and does not change after the first connection. A frame that is shared is never
// changed or copied; of another frame the outbox takes a copy, or its memory if that is not
// pooled: see [frame.MaxPooled].
package sender

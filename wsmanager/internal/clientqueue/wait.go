package clientqueue

import (
	"context"

	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// notifyLocked wakes the goroutines that wait for a change.
func (q *Queue) notifyLocked() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// nextChangeLocked returns a channel that is closed with the next change.
func (q *Queue) nextChangeLocked() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// SendContext sends a message when the queue is at most half full with it. Sends that wait are
// served in order. It returns sender.ErrClosed, or the cause of ctx if that ends first.
func (q *Queue) SendContext(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case q.contextual <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-q.contextual }()
	for {
		changed, err := q.trySend(m)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// trySend sends a message, or returns the channel of the next change.
func (q *Queue) trySend(m Message) (changed <-chan struct{}, err error) {
	q.order.Lock()
	defer q.order.Unlock()
	q.mu.Lock()
	switch n := len(q.entries); {
	case q.closed:
		err = sender.ErrClosed
	case n > 0 && (n >= q.maxMessages/2 || len(m.Frame) > q.maxBytes/2-q.bytes):
		changed = q.nextChangeLocked()
	}
	q.mu.Unlock()
	if changed == nil && err == nil {
		q.send(m)
	}
	return changed, err
}

// Flush waits until the present messages have been written. It returns sender.ErrClosed if the
// Queue is closed before, and the cause of ctx if that ends first.
func (q *Queue) Flush(ctx context.Context) error {
	q.mu.Lock()
	last := q.lastNumber
	q.mu.Unlock()
	for {
		q.mu.Lock()
		written := len(q.entries) == 0 || q.entries[0].number > last
		closed, changed := q.closed, q.nextChangeLocked()
		q.mu.Unlock()
		switch {
		case written:
			return nil
		case closed:
			return sender.ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

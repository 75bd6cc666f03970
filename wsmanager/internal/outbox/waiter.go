package outbox

import "slices"

// Waiter is a send that waits for room.
type Waiter struct {
	frame  []byte
	result chan bool
}

// Result gets true when the frame has been pushed, false when FailWaiters was called. It
// gets nothing after Withdraw.
func (w *Waiter) Result() <-chan bool { return w.result }

// Wait adds a send behind those that wait already.
func (q *Queue) Wait(frame []byte) *Waiter {
	w := &Waiter{frame, make(chan bool, 1)}
	q.waiters = append(q.waiters, w)
	return w
}

// Waiters returns how many sends wait.
func (q *Queue) Waiters() int {
	if q == nil {
		return 0
	}
	return len(q.waiters)
}

// Admit pushes the frames of sends that wait, in order, while the load with them is at most
// the given one. A single message may be bigger than maxBytes. It reports whether there
// were any.
func (q *Queue) Admit(maxMessages, maxBytes int) (admitted bool) {
	for len(q.waiters) > 0 {
		w := q.waiters[0]
		if q.messages > 0 && (q.messages >= maxMessages || len(w.frame) > maxBytes-q.bytes) {
			return admitted
		}
		q.waiters = slices.Delete(q.waiters, 0, 1)
		q.Push(w.frame, 0)
		w.result <- true
		admitted = true
	}
	q.waiters = nil
	return admitted
}

// Withdraw removes a send that waits. It reports whether it was still waiting.
func (q *Queue) Withdraw(w *Waiter) bool {
	if q == nil {
		return false
	}
	i := slices.Index(q.waiters, w)
	if i < 0 {
		return false
	}
	q.waiters = slices.Delete(q.waiters, i, i+1)
	return true
}

// FailWaiters ends all waits: the connection is closing.
func (q *Queue) FailWaiters() {
	if q == nil {
		return
	}
	for _, w := range q.waiters {
		w.result <- false
	}
	q.waiters = nil
}

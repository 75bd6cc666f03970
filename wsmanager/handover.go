package wsmanager

// takeover exists while the callbacks of a connection run on another goroutine than its
// reader's, because one of them did not return soon. The new reader answers pings, sees a
// close frame, and queues messages. When the callback has returned, its successor goroutine
// calls the callbacks for the queued messages, in order. After the last of them the takeover
// ends, and the reader calls the callbacks again. Guarded by the connection's lock.
type takeover struct {
	queue []received    // messages or pieces for callbacks, in order
	size  int           // of queue, in bytes
	keep  bool          // the peer's direction ended while the connection was open: the queue arrived before that
	room  chan struct{} // closed when the reader may continue; nil while it does not wait
	after []func()      // parts of the connection's end that follow the callbacks
}

// handover is the state of the takeovers of a connection. Guarded by the connection's lock.
type handover struct {
	current *takeover     // nil if there is none now
	tenure  uint32        // number of the present reader; the first has 0
	ended   chan struct{} // closed when the connection has ended
}

// active returns the takeover that is in progress, or nil.
func (o *handover) active() *takeover {
	if o == nil {
		return nil
	}
	return o.current
}

// received is a message, or a piece of one, for a callback.
type received struct {
	typ         MessageType
	compressed  bool // to be inflated; never a piece
	first, last bool // both, unless it is a piece
	payload     []byte
}

// receivedSize is the number of bytes that a queued message or piece counts in addition to its
// payload. It is at least the size of a received.
const receivedSize = 64

// releaseReader lets a reader continue that waits in enqueue.
func (k *takeover) releaseReader() {
	if k != nil && k.room != nil {
		close(k.room)
		k.room = nil
	}
}

package wsmanager

// Sent is the result of a send to an audience. Queued and Dropped count connections of this
// node that are ready and not closing.
type Sent struct {
	// Queued is the number of connections that the message was written to or queued for.
	// If the message was added to a batch that is delivered later, or by another
	// goroutine, that is all connections of the audience; if an outbox then turns out to
	// be full, only [Stats] has counted it.
	Queued int

	// Dropped is the number of connections that the message could not be queued for.
	Dropped int

	// Err is nil, or the reason why connections will not get the message: ErrMessageTooBig,
	// ErrInvalidUTF8, ErrMessageType, an error of encoding it, or ErrBackplane if only
	// other nodes do not get it. A full outbox is not an error of the send: see Dropped.
	Err error
}

// count counts the result of one send.
func (s *Sent) count(err error) {
	switch err {
	case nil:
		s.Queued++
	case ErrOutboxFull:
		s.Dropped++
	}
}

func (s *Sent) setErr(err error) {
	if s.Err == nil {
		s.Err = err
	}
}

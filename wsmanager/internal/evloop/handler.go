package evloop

// Handler receives the events of one socket.
//
// Space, Data, Kicked and End of one socket never overlap, and each call sees the effects of the
// one before. They may block; the loop then continues without them. After Socket.Take the
// call from which the socket was taken does not count: it may overlap later calls. If a
// call panics or ends its goroutine with runtime.Goexit, the socket ends and the loop
// continues: End gets a [*PanicError] or [ErrGoexit].
type Handler interface {
	// Space is called before a read. It returns the memory for the bytes, or nil for that of
	// the loop. Data follows only if there are bytes. Space must not block.
	Space() []byte

	// Data gets the bytes of one read. p is in the memory that Space has returned, or is valid until Data returns. It may be modified.
	// Data may be called before Add has returned. If it returns false, no more is read and
	// End follows with ErrStopped.
	Data(p []byte) bool

	// Kicked is called after Socket.Kick, once for all kicks before the call.
	Kicked()

	// Writable is called once after Socket.WantWritable, as soon as the kernel accepts
	// bytes again or the connection has failed (the next Write then returns the error). It
	// must not block: it runs on the loop. It may run while Data or Kicked runs on another
	// goroutine, but never at the same time as End or another Writable. If it panics, the
	// socket is shut and End gets the *PanicError.
	Writable()

	// End is the last call, once for each successful Add. err is never nil: it is io.EOF,
	// the error of the read, ErrShut, ErrStopped, ErrGoexit or a *PanicError. The
	// descriptor can be written to until End returns, and is closed then.
	End(err error)
}

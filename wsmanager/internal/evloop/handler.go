package evloop

// Handler is the user of one socket.
//
// Data, Kicked and End of one socket never overlap and keep their order: each
// call sees what the one before it did. They may block; the loop then goes on
// without them. (A call that Socket.Take has taken the socket from counts no more: it
// may overlap others.) A call that panics, or ends its goroutine by runtime.Goexit, is
// the end of the socket but not of the loop: End gets a [*PanicError] or
// [ErrGoexit].
type Handler interface {
	// Data gets what one read has returned, in a buffer that is lent for the call
	// and may be changed. It may be called before Add has returned. With false
	// nothing more is read, and End follows with ErrStopped.
	Data(p []byte) bool

	// Kicked is called after Socket.Kick, once for all kicks before the call.
	Kicked()

	// Writable is called once after Socket.WantWritable, as soon as the kernel
	// takes bytes again or the connection has failed, which a Write then tells.
	// It must not block: it runs on the loop, and may run while Data or Kicked
	// runs on another goroutine, though never beside End or another Writable.
	// After a panic in it the socket is shut, and End gets the *PanicError.
	Writable()

	// End is the last call, and there is one for each successful Add. Its err is
	// never nil: io.EOF, the error of the read, ErrShut, ErrStopped, ErrGoexit or
	// a *PanicError. During it the descriptor can still be written to; once it
	// has returned the descriptor is closed.
	End(err error)
}

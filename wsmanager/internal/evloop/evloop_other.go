//go:build !linux

package evloop

import "errors"

// Loop can't be used on this system: New fails.
type Loop struct{}

// Socket can't be used on this system.
type Socket struct{}

// New returns errors.ErrUnsupported.
func New(Options) (*Loop, error) { return nil, errors.ErrUnsupported }

// Add returns errors.ErrUnsupported.
func (*Loop) Add(int, Handler, *Socket) error { return errors.ErrUnsupported }

// AddOwned returns errors.ErrUnsupported.
func (*Loop) AddOwned(int, Handler, *Socket) error { return errors.ErrUnsupported }

// Take returns false.
func (*Socket) Take() bool { return false }

// Release does nothing.
func (*Socket) Release() {}

// Close does nothing.
func (*Loop) Close() error { return nil }

// Done returns a closed channel.
func (*Loop) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// Stats returns the zero Stats.
func (*Loop) Stats() Stats { return Stats{} }

// Write returns ErrClosed.
func (*Socket) Write([]byte) (int, error) { return 0, ErrClosed }

// Writev returns ErrClosed.
func (*Socket) Writev([][]byte) (int, error) { return 0, ErrClosed }

// WantWritable returns ErrClosed.
func (*Socket) WantWritable() error { return ErrClosed }

// Kick does nothing.
func (*Socket) Kick() {}

// Shut does nothing.
func (*Socket) Shut() {}

// CloseWrite returns ErrClosed.
func (*Socket) CloseWrite() error { return ErrClosed }

//go:build !linux

package wsmanager

// InLoop reports whether an event loop serves the connection: there are none.
func InLoop(*Conn) bool { return false }

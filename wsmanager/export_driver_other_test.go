//go:build !linux

package wsmanager

// InLoop returns false: this system has no event loops.
func InLoop(*Conn) bool { return false }

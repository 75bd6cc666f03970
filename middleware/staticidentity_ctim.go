//go:build linux || openbsd || dragonfly || solaris

package middleware

import "syscall"

// addSystem adds what the operating system knows.
func (id *identity) addSystem(sys any) {
	if st, ok := sys.(*syscall.Stat_t); ok {
		id.changed = st.Ctim.Nano()
		id.device, id.file = uint64(st.Dev), uint64(st.Ino) //nolint:unconvert // other systems have other types
	}
}

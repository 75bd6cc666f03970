//go:build linux || openbsd || dragonfly || solaris

package middleware

import "syscall"

// addSystem adds what the operating system knows.
func (id *identity) addSystem(sys any) {
	if st, ok := sys.(*syscall.Stat_t); ok {
		id.changed = st.Ctim.Nano()
		id.device, id.inode = uint64(st.Dev), uint64(st.Ino)
	}
}

package middleware

import "syscall"

// addSystem adds what the operating system knows: a file that replaces another one has a
// creation time of its own.
func (id *identity) addSystem(sys any) {
	if st, ok := sys.(*syscall.Win32FileAttributeData); ok {
		id.created = st.CreationTime.Nanoseconds()
	}
}

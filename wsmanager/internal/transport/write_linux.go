package transport

import (
	"syscall"
	"unsafe"
)

// shortWrite is the number of bytes up to which a write takes only a few microseconds.
const shortWrite = 16 << 10

// writeNow writes to a descriptor that does not block. Go's scheduler is not told about
// short writes: they end before it could use the processor for anything else, and telling
// it costs a tenth of the write.
func writeNow(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > shortWrite {
		return syscall.Write(fd, p)
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

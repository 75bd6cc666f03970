package transport

import (
	"fmt"
	"net"
	"syscall"
)

// Duplicate returns a duplicate of the connection's descriptor. The caller owns it.
func Duplicate(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		n, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		fd, errno = int(n), e
	})
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, fmt.Errorf("duplicating its descriptor: %w", errno)
	}
	return fd, nil
}

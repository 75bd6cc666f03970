package evloop

import (
	"syscall"
	"unsafe"
)

// The system calls of the hot paths use RawSyscall, which does not notify Go's scheduler:
// the descriptors don't block, and the notification costs more than some of the calls. The
// price is that a garbage collection that stops the world waits a few microseconds for a
// running call.

func epollCtl(epfd, op, fd int, events, gen uint32) error {
	ev := syscall.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(gen)}
	return syscall.EpollCtl(epfd, op, fd, &ev)
}

// epollPoll is epoll_wait with a timeout of 0.
func epollPoll(epfd int, events []syscall.EpollEvent) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func read(fd int32, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// longWrite is the number of bytes from which the scheduler is notified of a write: copying
// them takes so long that other goroutines may need the processor.
const longWrite = 64 << 10

// write calls write(2) and not send(2) with MSG_NOSIGNAL: the call is cheaper, is the same
// on every architecture, and Go's runtime ignores SIGPIPE for all descriptors except 1 and
// 2. Package net relies on that too.
func write(fd int32, p []byte) (int, syscall.Errno) {
	for {
		var n uintptr
		var errno syscall.Errno
		if len(p) <= longWrite {
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		} else {
			n, _, errno = syscall.Syscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		}
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func writev(fd int32, iov []syscall.Iovec) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// newEventfd returns a descriptor that becomes readable when written to.
func newEventfd() (int, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// signal makes an eventfd readable. Its counter can't overflow: it is drained long before.
func signal(fd int) {
	one := uint64(1)
	_, _ = write(int32(fd), (*[8]byte)(unsafe.Pointer(&one))[:])
}

func drain(fd int) {
	var n [8]byte
	_, _ = read(int32(fd), n[:])
}

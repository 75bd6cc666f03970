package evloop

import (
	"syscall"
	"unsafe"
)

// The calls of the kernel that the hot paths make. They go through RawSyscall,
// which does not tell Go's scheduler: the descriptors don't block, and telling
// it costs more than some of these calls. The price is that a collection which
// stops the world waits for a call under way, a few microseconds.

func epollCtl(epfd, op, fd int, events, gen uint32) error {
	ev := syscall.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(gen)}
	return syscall.EpollCtl(epfd, op, fd, &ev)
}

// epollPoll is epoll_wait with a time-out of 0.
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

// longWrite is from how many bytes on the scheduler is told of a write: copying
// them takes long enough for others to want the processor.
const longWrite = 64 << 10

// write is write(2) and not send(2) with MSG_NOSIGNAL: the call is cheaper, is
// the same on every architecture, and a SIGPIPE is ignored by Go's runtime for
// all descriptors but 1 and 2. Package net relies on that too.
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

// newEventfd makes a descriptor that is readable after a write to it.
func newEventfd() (int, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// signal makes an eventfd readable. Its counter can't be full: it is drained
// before it could be.
func signal(fd int) {
	one := uint64(1)
	_, _ = write(int32(fd), (*[8]byte)(unsafe.Pointer(&one))[:])
}

func drain(fd int) {
	var n [8]byte
	_, _ = read(int32(fd), n[:])
}

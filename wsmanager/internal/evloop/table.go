//go:build linux

package evloop

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// table maps descriptors to Sockets. Lookups take no lock: descriptors are small numbers,
// so they are indexes into slices that only grow.
type table struct {
	chunks atomic.Pointer[[]*chunk]

	mu sync.Mutex // guards changes of chunks
}

const chunkSize = 256

type chunk [chunkSize]atomic.Pointer[Socket]

func (t *table) get(fd int32) *Socket {
	chunks := t.chunks.Load()
	i := int(fd) / chunkSize
	if chunks == nil || i >= len(*chunks) || (*chunks)[i] == nil {
		return nil
	}
	return (*chunks)[i][fd%chunkSize].Load()
}

// of returns the Socket for an event, or nil if it is gone. The generation distinguishes it
// from an earlier socket with the same descriptor.
func (t *table) of(ev *syscall.EpollEvent) *Socket {
	s := t.get(ev.Fd)
	if s == nil || s.gen != uint32(ev.Pad) {
		return nil
	}
	return s
}

func (t *table) set(fd int32, s *Socket) {
	i := int(fd) / chunkSize
	t.mu.Lock()
	defer t.mu.Unlock()
	var old []*chunk
	if p := t.chunks.Load(); p != nil {
		old = *p
	}
	if i >= len(old) || old[i] == nil {
		grown := make([]*chunk, max(i+1, len(old)))
		copy(grown, old)
		grown[i] = new(chunk)
		t.chunks.Store(&grown)
		old = grown
	}
	old[i][fd%chunkSize].Store(s)
}

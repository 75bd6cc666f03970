//go:build linux

package evloop

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// table finds the Socket of a descriptor. Finding takes no lock: descriptors
// are small numbers, so they index slices, which only ever grow.
type table struct {
	chunks atomic.Pointer[[]*chunk]

	mu sync.Mutex // held to change chunks
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

// of is the Socket that an event is for, or nil if it is gone. Its generation
// tells it from an earlier one that had the same descriptor.
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

package sender

import (
	"slices"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/bytepool"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// SendParts is Send for a frame in two parts; rest may be empty. It copies only the bytes
// that are queued.
func (s *Sender) SendParts(h Host, head, rest []byte) error {
	if s.state != open {
		return ErrClosed
	}
	if t, ok := s.transport.(*transport.Sink); ok {
		return deliver(s, h, t, true, slices.Concat(head, rest))
	}
	n := 0
	if s.mayWrite() {
		for _, p := range [][]byte{head, rest} {
			written, err := s.tryWrite(h, p)
			if err != nil {
				return ErrClosed
			}
			if n += written; written < len(p) {
				break
			}
		}
	}
	size := len(head) + len(rest)
	switch n {
	case size:
		s.Traffic().MessagesOut.Add(1)
		return nil
	case 0:
		err := s.makeRoom(h, size)
		if err == nil {
			pushPooled(s, h, append(append(bytepool.Get(size), head...), rest...), 0)
		}
		return err
	}
	// The first byte tells the outbox what the frame is. The memory does not depend on n, so that
	// messages of one size use the same, whatever the kernel takes of each.
	left := append(bytepool.Get(max(1+size-n, size-ws.MaxHeaderSize)), head[0])
	if n < len(head) {
		left = append(left, head[n:]...)
	}
	pushPooled(s, h, append(left, rest[max(0, n-len(head)):]...), 1)
	return nil
}

// pushPooled is push for a frame in memory of package bytepool.
func pushPooled(s *Sender, h Host, frame []byte, sent int) {
	s.queue().PushPooled(frame, sent)
	s.startWriter(h)
}

package wsmanager

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Sink takes the messages of a connection that has no socket: see [NewSinkConn].
type Sink interface {
	// Deliver takes messages of one type, in the order in which they were sent. It is called
	// for one batch at a time. It may keep the payloads, and must not change them: other
	// connections may share them. The connection is locked meanwhile, so Deliver must return
	// soon, and must neither use the connection nor send to an audience. An error cuts the
	// connection.
	Deliver(t MessageType, payloads [][]byte) error
}

// NewSinkConn registers a connection of m that has no socket. It is a member of audiences,
// groups and users like all others, and messages to it go to the sink, in the same order
// and in the same batches as to a socket. So it can keep its memberships while sockets come and
// go (see [Carry]), or stand for a client with another transport.
//
// Of a, it uses User, Groups, Value and Variant. No callback is called for it, it does not
// count for Limits.MaxConnections, and it has no time-outs. Close, and Shutdown of m, only end
// its Context and make further sends fail. The caller has to call end, which removes it from m.
// end may be called more than once. NewSinkConn returns an error for an invalid Accept, and
// ErrShutdown after the beginning of Shutdown.
func NewSinkConn(m *Manager, a Accept, sink Sink) (c *Conn, end func(), err error) {
	if err := a.check(m.opts.MaxGroups); err != nil {
		return nil, nil, inContext("NewSinkConn", err)
	}
	if m.admission.IsDraining() {
		return nil, nil, ErrShutdown
	}
	c = m.newConn(m.bus.newConnID(), a, nil, "")
	c.out.Attach(&transport.Sink{Deliver: func(frames [][]byte, shared bool) error { return deliver(sink, frames, shared) }})
	m.register(c, a)
	return c, c.session().endSink, nil
}

// Carry makes a connection that is not ready (see Accept.Deferred) carry the messages of another
// one, which was made by [NewSinkConn]: it belongs to no audience, and gets only the messages
// that are sent to it alone, under the policy. It need not become ready. Carry returns ErrReady if the connection
// is ready, and ErrClosed if it has ended.
func Carry(c *Conn, policy SlowConsumer) error {
	if !policy.valid() {
		return fmt.Errorf("wsmanager: Carry: the SlowConsumer %d does not exist", policy)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.left:
		return ErrClosed
	case c.reception.IsReady(), c.reception.IsCarrier():
		return ErrReady
	}
	c.reception.LeaveAll()
	c.out.SetPolicy(sender.Policy(policy))
	c.reception.MarkCarrier()
	c.m.carriers.Add(1)
	return nil
}

// endSink ends a connection with a sink.
func (s *session) endSink() {
	s.mu.Lock()
	ended := s.life.ended
	s.life.ended = true
	s.mu.Unlock()
	if ended {
		return
	}
	s.cut(&CloseError{Code: StatusNormalClosure})
	s.m.unregister(s.conn())
	s.m.wheel.Remove(s)
}

// deliver passes the payloads of frames to a sink.
func deliver(sink Sink, frames [][]byte, shared bool) error {
	var one [1][]byte
	payloads := one[:0]
	if len(frames) > 1 {
		payloads = make([][]byte, 0, len(frames))
	}
	typ := MessageType(frames[0][0] & 0x0f)
	for i, f := range frames {
		if other := MessageType(f[0] & 0x0f); other != typ { // a connection has one variant, so this is rare
			return errors.Join(deliver(sink, frames[:i], shared), deliver(sink, frames[i:], shared))
		}
		p := f[len(f)-frame.PayloadSize(f):]
		if !shared {
			p = bytes.Clone(p)
		}
		payloads = append(payloads, p)
	}
	return sink.Deliver(typ, payloads)
}

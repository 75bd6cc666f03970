package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// stalledClients keeps one client connected that does not read. When the policy has
// closed one, that client reads the rest and another one connects.
type stalledClients struct {
	p     *parent
	codes map[int]int // owned by the goroutine of keep until stop returns

	current *harness.Client
	quit    chan struct{}
	done    chan error
}

func (s *stalledClients) start() error {
	if err := s.dial(); err != nil {
		return err
	}
	s.quit, s.done = make(chan struct{}), make(chan error, 1)
	go func() { s.done <- s.keep() }()
	return nil
}

func (s *stalledClients) dial() (err error) {
	s.current, err = harness.Dial(s.p.ctx, s.p.Addr+"/ws?stall", func(c *net.TCPConn) error { return c.SetReadBuffer(4 << 10) })
	return err
}

func (s *stalledClients) keep() error {
	if s.p.policy != wsmanager.SlowConsumerClose {
		<-s.quit
		return nil
	}
	for {
		select {
		case <-s.quit:
			return nil
		case <-time.After(50 * time.Millisecond):
		}
		var st status
		if err := s.p.Ask("/stats", &st); err != nil {
			return err
		}
		if st.Stalled {
			continue
		}
		if err := s.readRest(); err != nil {
			return err
		}
		if err := s.dial(); err != nil {
			return err
		}
	}
}

// readRest reads the messages and the close frame that were in flight.
func (s *stalledClients) readRest() error {
	defer s.current.Conn.Close()
	last := uint64(0)
	err := s.current.Read(make([]byte, headSize), func(head []byte, _ int) error {
		number := binary.BigEndian.Uint64(head)
		if number <= last && number != 0 { // 0 belongs to the flood
			return fmt.Errorf("message %d arrived after message %d", number, last)
		}
		last = number
		return nil
	})
	closed, ok := err.(*harness.ClosedError)
	if !ok {
		return fmt.Errorf("a stalled client: %w", err)
	}
	s.codes[closed.Code]++
	return nil
}

func (s *stalledClients) stop() error {
	close(s.quit)
	err := <-s.done
	if s.current != nil {
		s.current.Conn.Close()
	}
	return err
}

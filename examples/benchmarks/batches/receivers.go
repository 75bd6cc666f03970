package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/load"
)

// receivers is a set of connections that all receive the same messages.
type receivers struct {
	clients []*harness.Client
	size    int // of each message; 0 accepts any

	received atomic.Int64 // messages of all connections
	goal     atomic.Int64
	reached  chan struct{} // receives a value when received is goal
	arrivals atomic.Pointer[[]arrival]
}

// arrival is the delivery of a single broadcast.
type arrival struct {
	count atomic.Int64 // connections that have received it
	took  atomic.Int64 // nanoseconds until the last of them
}

// open connects n clients, which start to read.
func (p *parent) open(n int, path string, size int) (*receivers, error) {
	s := &receivers{clients: make([]*harness.Client, n), size: size, reached: make(chan struct{}, 1)}
	s.goal.Store(-1)
	err := harness.DialAll(p.ctx, n, p.Addr+path, func(i int, c *harness.Client) {
		s.clients[i] = c
		go func() {
			defer c.Conn.Close()
			p.Fail(fmt.Errorf("a client of %s: %w", path, s.read(c.Reader)))
		}()
	})
	return s, err
}

// read counts messages until the stream ends. Its error is never nil.
func (s *receivers) read(r io.Reader) error {
	buf := make([]byte, 8<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		if err != nil {
			return err
		}
		messages, rest, err := s.parse(buf[:kept+n])
		if err != nil {
			return err
		}
		if kept = copy(buf, rest); kept == len(buf) {
			return errors.New("a frame that is too large")
		}
		if messages > 0 && s.received.Add(messages) == s.goal.Load() {
			s.reached <- struct{}{}
		}
	}
}

// parse counts the complete frames in p and returns the bytes after them.
func (s *receivers) parse(p []byte) (messages int64, rest []byte, err error) {
	for {
		op, payload, length, err := load.Next(p)
		switch {
		case err != nil || length == 0:
			return messages, p, err
		case op != ws.OpText:
			return messages, p, fmt.Errorf("a frame with opcode %#x: %.100q", op, payload)
		case s.size > 0 && len(payload) != s.size:
			return messages, p, fmt.Errorf("a message of %d bytes: %.100q", len(payload), payload)
		}
		if arrivals := s.arrivals.Load(); arrivals != nil {
			if err := s.arrived(*arrivals, payload); err != nil {
				return messages, p, err
			}
		}
		p = p[length:]
		messages++
	}
}

func (s *receivers) arrived(arrivals []arrival, payload []byte) error {
	now := time.Now().UnixNano()
	sent, err := strconv.ParseInt(string(payload[:headSize/2]), 16, 64)
	if err != nil {
		return err
	}
	i, err := strconv.ParseUint(string(payload[headSize/2:headSize]), 16, 64)
	if err != nil || i >= uint64(len(arrivals)) {
		return fmt.Errorf("a message of another load: %.100q", payload)
	}
	if arrivals[i].count.Add(1) == int64(len(s.clients)) {
		arrivals[i].took.Store(now - sent)
	}
	return nil
}

// patience is the longest time for a load.
const patience = time.Minute

// await calls send and waits until each connection has received a number of messages.
func (s *receivers) await(ctx context.Context, messages int, send func() error) error {
	goal := s.received.Load() + int64(messages*len(s.clients))
	s.goal.Store(goal)
	if err := send(); err != nil {
		return err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-s.reached:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("the receivers have %d messages and lack %d", s.received.Load(), goal-s.received.Load())
	}
}

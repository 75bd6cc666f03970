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

// set is connections that get all the same messages.
type set struct {
	clients []*harness.Client
	size    int // of each message; 0: any

	got     atomic.Int64 // messages, by all of them
	goal    atomic.Int64
	reached chan struct{} // when got is goal
	lone    atomic.Pointer[[]arrival]
}

// arrival is of one message that comes alone.
type arrival struct {
	got  atomic.Int64 // by how many
	took atomic.Int64 // until the last of them had it, in nanoseconds
}

// open dials n connections that read from now on.
func (p *parent) open(n int, path string, size int) (*set, error) {
	s := &set{clients: make([]*harness.Client, n), size: size, reached: make(chan struct{}, 1)}
	s.goal.Store(-1)
	err := harness.DialAll(p.ctx, n, p.addr+path, func(i int, c *harness.Client) {
		s.clients[i] = c
		go func() {
			defer c.Conn.Close()
			p.failed(fmt.Errorf("a client of %s: %w", path, s.read(c.Reader())))
		}()
	})
	return s, err
}

// read counts messages until the end, which is an error.
func (s *set) read(r io.Reader) error {
	buf := make([]byte, 8<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		if err != nil {
			return err
		}
		p := buf[:kept+n]
		messages := int64(0)
		for {
			op, payload, length, err := load.Next(p)
			if err != nil {
				return err
			}
			if length == 0 {
				break
			}
			p = p[length:]
			switch {
			case op != ws.OpText:
				return fmt.Errorf("a frame with opcode %#x: %.100q", op, payload)
			case s.size > 0 && len(payload) != s.size:
				return fmt.Errorf("a message of %d bytes: %.100q", len(payload), payload)
			default:
				messages++
				if lone := s.lone.Load(); lone != nil {
					if err := s.arrived(*lone, payload); err != nil {
						return err
					}
				}
			}
		}
		if kept = copy(buf, p); kept == len(buf) {
			return errors.New("a frame that is too big")
		}
		if messages > 0 && s.got.Add(messages) == s.goal.Load() {
			s.reached <- struct{}{}
		}
	}
}

// arrived notes a message that comes alone.
func (s *set) arrived(lone []arrival, payload []byte) error {
	now := time.Now().UnixNano()
	sent, err := strconv.ParseInt(string(payload[:headSize/2]), 16, 64)
	if err != nil {
		return err
	}
	i, err := strconv.ParseUint(string(payload[headSize/2:headSize]), 16, 64)
	if err != nil || i >= uint64(len(lone)) {
		return fmt.Errorf("no message of this load: %.100q", payload)
	}
	if lone[i].got.Add(1) == int64(len(s.clients)) {
		lone[i].took.Store(now - sent)
	}
	return nil
}

// patience is how long a load may take.
const patience = time.Minute

// await has a number of messages sent and waits until each connection has got them.
func (s *set) await(ctx context.Context, messages int, send func() error) error {
	goal := s.got.Load() + int64(messages*len(s.clients))
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
		return fmt.Errorf("receivers have got %d messages, and lack %d", s.got.Load(), goal-s.got.Load())
	}
}

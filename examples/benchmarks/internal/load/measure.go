//go:build linux

package load

import (
	"errors"
	"fmt"
	"time"
)

// Server is the server to measure.
type Server struct {
	Addr string               // "127.0.0.1:port"
	CPU  func() time.Duration // user and system time of its process
	RSS  func() int64         // resident memory in bytes
}

// Work is the amount of work in the measured time and its cost.
type Work struct {
	Messages uint64 // echoes, or deliveries of broadcasts
	Time     time.Duration
	CPU      time.Duration
}

// Idle opens n connections that send nothing. It returns the server's memory for each of
// them in bytes, and the processor time of opening one. The first third is not counted
// for the time, since the server's caches grow meanwhile.
func Idle(s Server, n int, settle time.Duration) (bytes float64, opening time.Duration, err error) {
	l, err := newLoop(s.Addr, "/echo")
	if err != nil {
		return 0, 0, err
	}
	defer l.close()
	if err := l.rest(settle); err != nil {
		return 0, 0, err
	}
	empty := s.RSS()
	if err := l.dial(n / 3); err != nil {
		return 0, 0, err
	}
	if err := l.rest(settle / 4); err != nil {
		return 0, 0, err
	}
	began := s.CPU()
	if err := l.dial(n); err != nil {
		return 0, 0, err
	}
	used := s.CPU() - began
	if err := l.rest(settle); err != nil {
		return 0, 0, err
	}
	return float64(s.RSS()-empty) / float64(n), used / time.Duration(n-n/3), nil
}

// Echo opens n connections. Each sends a message of size bytes as soon as the echo of the
// previous one has arrived. The work during warmUp is not counted.
func Echo(s Server, n, size int, warmUp, measured time.Duration) (Work, error) {
	if n < 1 || size < numberSize {
		return Work{}, fmt.Errorf("load: %d connections, messages of %d bytes", n, size)
	}
	l, err := newLoop(s.Addr, "/echo")
	if err != nil {
		return Work{}, err
	}
	defer l.close()
	if err := l.dial(n); err != nil {
		return Work{}, err
	}
	msg := newMessage(size)
	var echoes uint64
	l.message = func(c *connection, p []byte) error {
		if err := msg.check(p, c.next); err != nil {
			return err
		}
		c.next++
		echoes++
		l.batch = append(l.batch, msg.numbered(c.next)...)
		return nil
	}
	for _, c := range l.all {
		if err := l.send(c, msg.numbered(0)); err != nil {
			return Work{}, err
		}
	}
	run := func(d time.Duration) error {
		end := time.Now().Add(d)
		return l.until(func() bool { return !time.Now().Before(end) }, nil)
	}
	if err := run(warmUp); err != nil {
		return Work{}, err
	}
	echoes = 0
	began, used := time.Now(), s.CPU()
	if err := run(measured); err != nil {
		return Work{}, err
	}
	return Work{echoes, time.Since(began), s.CPU() - used}, nil
}

// Broadcast opens n connections and lets one of them send messages of size bytes. All must
// receive each of them once and in order. At most inFlight are sent before all have
// received the first of them. The first warmUp messages are not counted.
func Broadcast(s Server, n, size, inFlight int, warmUp, measured int) (Work, error) {
	if n < 1 || size < numberSize || inFlight < 1 {
		return Work{}, fmt.Errorf("load: %d connections, messages of %d bytes, %d in flight", n, size, inFlight)
	}
	l, err := newLoop(s.Addr, "/broadcast")
	if err != nil {
		return Work{}, err
	}
	defer l.close()
	if err := l.dial(n); err != nil {
		return Work{}, err
	}
	// A server may add a connection to its group after it has answered the handshake.
	if err := l.rest(300 * time.Millisecond); err != nil {
		return Work{}, err
	}
	msg := newMessage(size)
	pending := make([]int, warmUp+measured) // deliveries of each message
	var deliveries uint64
	sent, done := 0, 0
	l.message = func(c *connection, p []byte) error {
		if err := msg.check(p, c.next); err != nil {
			return err
		}
		if c.next >= uint64(sent) {
			return errors.New("a message that was not sent yet")
		}
		if pending[c.next]--; pending[c.next] == 0 {
			done++
		}
		c.next++
		deliveries++
		return nil
	}
	run := func(to int) error {
		return l.until(func() bool { return done == to }, func() error {
			for sent < to && sent-done < inFlight {
				pending[sent] = n
				sent++
				if err := l.send(l.all[0], msg.numbered(uint64(sent-1))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := run(warmUp); err != nil {
		return Work{}, err
	}
	deliveries = 0
	began, used := time.Now(), s.CPU()
	if err := run(warmUp + measured); err != nil {
		return Work{}, err
	}
	work := Work{deliveries, time.Since(began), s.CPU() - used}
	return work, l.rest(200 * time.Millisecond) // a duplicate would be an error
}

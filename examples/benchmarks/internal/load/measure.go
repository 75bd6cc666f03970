//go:build linux

package load

import (
	"errors"
	"fmt"
	"time"
)

// Server is what is measured.
type Server struct {
	Addr string               // "127.0.0.1:port"
	CPU  func() time.Duration // what its process has used, user and system
	RSS  func() int64         // its resident memory in bytes
}

// Work is what was done in a measured time, and what it cost the server.
type Work struct {
	Messages uint64 // echoes, or deliveries of broadcasts
	Time     time.Duration
	CPU      time.Duration
}

// Idle opens connections and leaves them alone. It returns what one of all n takes of
// the server's memory, in bytes, and the processor time of opening one, measured from a
// third of them on, when the server's caches have grown.
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

// Echo has n connections that each send a message of size bytes as soon as the one
// before has come back, for a time that is not measured and one that is.
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

// Broadcast has one of n connections send messages of size bytes, each of which all are
// to get once and in order. At most inFlight are on their way at a time. The first ones
// are not measured.
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
	// Servers may let a connection join after its handshake was answered.
	if err := l.rest(300 * time.Millisecond); err != nil {
		return Work{}, err
	}
	msg := newMessage(size)
	lacking := make([]int, warmUp+measured) // of each message, by how many
	var deliveries uint64
	sent, done := 0, 0
	l.message = func(c *connection, p []byte) error {
		if err := msg.check(p, c.next); err != nil {
			return err
		}
		if c.next >= uint64(sent) {
			return errors.New("a message that was not sent")
		}
		if lacking[c.next]--; lacking[c.next] == 0 {
			done++
		}
		c.next++
		deliveries++
		return nil
	}
	run := func(to int) error {
		return l.until(func() bool { return done == to }, func() error {
			for sent < to && sent-done < inFlight {
				lacking[sent] = n
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
	return work, l.rest(200 * time.Millisecond) // in which nothing may come twice
}

package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// brokenSent is the number of messages that a broken server receives: 250 from each of 4
// senders in echo mode, all from one in broadcast mode. One in 25 of a sender has the fault,
// and never the last one: the messages after it show that it has taken effect.
const (
	brokenSent = 1000
	faults     = 40
)

// faulty counts the messages of each connection.
type faulty struct {
	mu sync.Mutex // guards n
	n  map[*wsmanager.Conn]int
}

// next reports whether the next message of the connection has the fault.
func (f *faulty) next(c *wsmanager.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n = make(map[*wsmanager.Conn]int)
	}
	f.n[c]++
	return f.n[c]%25 == 12
}

// Each fault of a server is detected and counted exactly, and fails the run, in both modes.
func TestBrokenServers(t *testing.T) {
	for name, c := range map[string]struct {
		fault    func(m wsmanager.Message, send func(wsmanager.Message) error) error
		want     violations // of one receiver
		received uint64     // of one receiver
	}{
		"drops": {
			func(wsmanager.Message, func(wsmanager.Message) error) error { return nil },
			violations{Lost: faults}, brokenSent - faults,
		},
		"duplicates": {
			func(m wsmanager.Message, send func(wsmanager.Message) error) error {
				_ = send(m)
				return send(m)
			},
			violations{Duplicated: faults}, brokenSent,
		},
		"corrupts": {
			func(m wsmanager.Message, send func(wsmanager.Message) error) error {
				m.Payload = slices.Clone(m.Payload)
				m.Payload[100]++
				return send(m)
			},
			violations{Corrupted: faults, Lost: faults}, brokenSent - faults,
		},
		"cuts short": {
			func(m wsmanager.Message, send func(wsmanager.Message) error) error {
				m.Payload = m.Payload[:100]
				return send(m)
			},
			violations{Corrupted: faults, Lost: faults}, brokenSent - faults,
		},
		"changes the type": {
			func(m wsmanager.Message, send func(wsmanager.Message) error) error {
				return send(wsmanager.Message{Type: wsmanager.BinaryMessage, Payload: m.Payload})
			},
			violations{Corrupted: faults, Lost: faults}, brokenSent - faults,
		},
		"invents": {
			func(m wsmanager.Message, send func(wsmanager.Message) error) error {
				_ = send(m)
				return send(wsmanager.Text("hello"))
			},
			violations{Foreign: faults}, brokenSent,
		},
	} {
		for _, mode := range []mode{modeEcho, modeBroadcast} {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				t.Parallel()
				var f faulty
				s := serve(t, serverOptions{onMessage: func(conn *wsmanager.Conn, m wsmanager.Message) error {
					send := func(m wsmanager.Message) error {
						if mode == modeBroadcast {
							conn.Manager().Broadcast(m)
							return nil
						}
						return conn.SendContext(context.Background(), m)
					}
					if f.next(conn) {
						return c.fault(m, send)
					}
					return send(m)
				}})
				const connections = 4
				receivers := uint64(1)
				if mode == modeBroadcast {
					receivers = connections
				}
				v := c.want
				for _, p := range []*uint64{&v.Lost, &v.Duplicated, &v.Corrupted, &v.Foreign} {
					*p *= receivers
				}
				r := runBroken(t, s, mode, receivers*c.received, v)
				require.False(t, r.OK)
				require.Equal(t, statusError, statusOfReport(t, r))
				require.Equal(t, v, r.Violations)
				require.EqualValues(t, brokenSent, r.Messages.Sent)
				require.Equal(t, receivers*c.received, r.Messages.Received)
				require.Empty(t, r.Errors)
			})
		}
	}
}

// runBroken runs a load of brokenSent messages over 4 connections. It interrupts the wait for
// lost messages after comes messages and the expected violations.
func runBroken(t *testing.T, s *testServer, mode mode, comes uint64, want violations) *report {
	t.Helper()
	l := newTestLoad(t, s, "-mode", string(mode), "-connections", "4", "-payload", "json", "-rate", "10000", "-in-flight", "500", "-duration", "100ms")
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	go func() {
		for ctx.Err() == nil {
			if l.phase.Load() == phaseWaiting && s.m.Stats().MessagesIn == brokenSent {
				received := uint64(0)
				for _, m := range l.members {
					received += m.received.Load()
				}
				seen := l.duplicated.Load() + l.corrupted.Load() + l.foreign.Load()
				if received == comes && seen == want.Duplicated+want.Corrupted+want.Foreign {
					enough()
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	r, err := l.run(ctx)
	require.NoError(t, err)
	return r
}

// statusOfReport returns the exit status of the program.
func statusOfReport(t *testing.T, r *report) int {
	t.Helper()
	require.NoError(t, r.write(&config{}, t.Output(), nil))
	if r.OK {
		return statusOK
	}
	return statusError
}

// reorderer swaps each hundredth message of a connection with the next one.
type reorderer struct {
	mu   sync.Mutex // guards the fields below
	n    map[*wsmanager.Conn]int
	held map[*wsmanager.Conn][]byte
}

// next returns the payloads to send.
func (r *reorderer) next(c *wsmanager.Conn, p []byte) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n[c]++
	switch r.n[c] % 100 {
	case 0:
		r.held[c] = slices.Clone(p)
		return nil
	case 1:
		if held := r.held[c]; held != nil {
			delete(r.held, c)
			return [][]byte{p, held}
		}
	}
	return [][]byte{p}
}

func TestReorderingServer(t *testing.T) {
	for _, mode := range []mode{modeEcho, modeBroadcast} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			o := &reorderer{n: make(map[*wsmanager.Conn]int), held: make(map[*wsmanager.Conn][]byte)}
			s := serve(t, serverOptions{onMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
				for _, p := range o.next(c, m.Payload) {
					m.Payload = p
					if mode == modeBroadcast {
						c.Manager().Broadcast(m)
					} else if err := c.SendContext(context.Background(), m); err != nil {
						return err
					}
				}
				return nil
			}})
			// 250 messages of each sender in echo mode, 1,000 of one in broadcast mode. The
			// last one is never sent.
			want, receivers := violations{Reordered: 4 * 2}, uint64(1)
			if mode == modeBroadcast {
				receivers = 4
				want = violations{Reordered: 4 * 9, Lost: 4}
			}
			r := runBroken(t, s, mode, receivers*brokenSent-want.Lost, want)
			require.False(t, r.OK)
			require.Equal(t, want, r.Violations)
			require.Empty(t, r.Errors)
		})
	}
}

// A message that is sent to another connection is foreign there and lost on its own.
func TestMisdeliveringServer(t *testing.T) {
	t.Parallel()
	var f faulty
	s := serve(t, serverOptions{onMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
		if f.next(c) {
			for other := range c.Manager().All().Local() {
				if other != c {
					return other.SendContext(context.Background(), m)
				}
			}
		}
		return c.SendContext(context.Background(), m)
	}})
	r := runBroken(t, s, modeEcho, brokenSent-faults, violations{Foreign: faults})
	require.False(t, r.OK)
	require.Equal(t, violations{Lost: faults, Foreign: faults}, r.Violations)
}

// If the server closes its connections, the code is reported, and messages in flight do not
// count as lost.
func TestClosingServer(t *testing.T) {
	for _, mode := range []mode{modeEcho, modeBroadcast} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			s := serve(t, serverOptions{onMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
				if n.Add(1) == 100 {
					for other := range c.Manager().All().Local() {
						_ = other.Close(wsmanager.StatusTryAgainLater, "too much")
					}
					return nil
				}
				if mode == modeBroadcast {
					c.Manager().Broadcast(m)
					return nil
				}
				return c.Send(m)
			}})
			l := newTestLoad(t, s, "-mode", string(mode), "-connections", "4", "-rate", "10000", "-duration", "1h")
			r, err := l.run(t.Context()) // ends because no connection is left
			require.NoError(t, err)
			require.False(t, r.OK)
			require.Equal(t, []kindCount{{`closed by the server with 1013 ("too much")`, 4}}, r.Errors)
			require.Equal(t, map[wsmanager.StatusCode]uint64{1013: 4}, r.Connections.Closed)
			require.Zero(t, r.Violations)
			if mode == modeEcho {
				require.Positive(t, r.Messages.CutOff, "the hundredth was not answered")
			}
		})
	}
}

// If one of several connections ends, the others lose nothing.
func TestOneIsClosed(t *testing.T) {
	for _, mode := range []mode{modeEcho, modeBroadcast} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			s := serve(t, serverOptions{onMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
				if n.Add(1) == 100 {
					return &wsmanager.CloseError{Code: 4000}
				}
				if mode == modeBroadcast {
					c.Manager().Broadcast(m)
					return nil
				}
				return c.SendContext(context.Background(), m)
			}})
			l := newTestLoad(t, s, "-mode", string(mode), "-connections", "4", "-senders", "4", "-rate", "10000", "-duration", "100ms")
			r, err := l.run(t.Context())
			require.NoError(t, err)
			require.False(t, r.OK)
			require.Equal(t, []kindCount{{"closed by the server with 4000", 1}}, r.Errors)
			require.Zero(t, r.Violations)
			require.GreaterOrEqual(t, r.Messages.Sent, uint64(750), "of the other three")
		})
	}
}

// If a server never answers, all sent messages are lost and the others are unsent.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	s := serve(t, serverOptions{onMessage: func(*wsmanager.Conn, wsmanager.Message) error { return nil }})
	l := newTestLoad(t, s, "-connections", "4", "-rate", "10000", "-duration", "100ms", "-in-flight", "10")
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	go func() {
		for ctx.Err() == nil && !(l.phase.Load() == phaseWaiting && s.m.Stats().MessagesIn == 40) {
			time.Sleep(time.Millisecond)
		}
		enough()
	}()
	r, err := l.run(ctx)
	require.NoError(t, err)
	require.False(t, r.OK)
	require.Equal(t, violations{Lost: 40}, r.Violations)
	require.EqualValues(t, 40, r.Messages.Sent)
	require.EqualValues(t, 960, r.Messages.Unsent)
	require.Nil(t, r.LatencyNs)
	require.Empty(t, r.Histogram)
	require.False(t, r.Messages.StillComing)

	// Without a rate, and with a time-out.
	cfg := *newTestLoad(t, s, "-connections", "4", "-duration", "10ms").cfg
	cfg.timeout = time.Second
	l, err = newLoad(&cfg)
	require.NoError(t, err)
	r, err = l.run(t.Context())
	require.NoError(t, err)
	require.False(t, r.OK)
	require.Equal(t, r.Messages.Sent, r.Violations.Lost)
	require.Positive(t, r.Violations.Lost)
}

// The latencies show a stall of the server, because messages are due meanwhile.
func TestStallCounts(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var n atomic.Int64
	s := serve(t, serverOptions{onMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
		if n.Add(1) == 1 {
			<-release
		}
		return c.SendContext(context.Background(), m)
	}})
	l := newTestLoad(t, s, "-connections", "1", "-rate", "1000", "-duration", "1s", "-in-flight", "1")
	go func() {
		for l.phase.Load() != phaseWaiting {
			time.Sleep(time.Millisecond)
		}
		close(release)
	}()
	r, err := l.run(t.Context())
	require.NoError(t, err)
	require.True(t, r.OK, "%+v", r)
	require.EqualValues(t, 1000, r.Messages.Received, "due messages are sent after the stall")
	require.GreaterOrEqual(t, r.LatencyNs.P50, 400*time.Millisecond, "half of the messages were due in its first half")
}

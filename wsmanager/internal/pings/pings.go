package pings

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"
)

// PayloadSize is the size of the payload of a ping in bytes.
const PayloadSize = 8

// List has the pings of a connection that are not answered. The zero value is empty.
type List struct {
	pings   []*Ping // in the order in which they were sent
	latency time.Duration
}

// Ping is a ping that was sent.
type Ping struct {
	payload  [PayloadSize]byte
	sent     time.Duration
	answered chan time.Duration // nil if no caller waits for the pong
}

// Payload returns the payload of the frame.
func (p *Ping) Payload() []byte { return p.payload[:] }

// Answered returns the channel that receives the round-trip time. It is closed without a
// value by Fail.
func (p *Ping) Answered() <-chan time.Duration { return p.answered }

// Add adds a ping that is sent now, for a caller that waits for the pong.
func (l *List) Add(now time.Duration) *Ping {
	p := l.add(now)
	p.answered = make(chan time.Duration, 1)
	return p
}

// AddUnawaited adds a ping that is sent now and for whose pong no caller waits. Only the
// newest ping of this kind is kept, so that a peer that answers none of them needs no memory.
func (l *List) AddUnawaited(now time.Duration) *Ping {
	l.forgetUnawaited()
	return l.add(now)
}

func (l *List) add(now time.Duration) *Ping {
	p := &Ping{sent: now}
	binary.NativeEndian.PutUint64(p.payload[:], rand.Uint64())
	l.pings = append(l.pings, p)
	return p
}

// Resend returns the newest ping that is not answered, or nil. All pings count as sent now.
func (l *List) Resend(now time.Duration) *Ping {
	if l == nil || len(l.pings) == 0 {
		return nil
	}
	for _, p := range l.pings {
		p.sent = now
	}
	return l.pings[len(l.pings)-1]
}

// Withdraw is called when the caller stops to wait. The ping stays in the list, because its
// pong still tells the latency. It reports whether p was not answered.
func (l *List) Withdraw(p *Ping) bool {
	if !slices.Contains(l.pings, p) {
		return false
	}
	l.forgetUnawaited()
	p.answered = nil
	return true
}

func (l *List) forgetUnawaited() {
	l.pings = slices.DeleteFunc(l.pings, func(p *Ping) bool { return p.answered == nil })
}

// Answer handles a pong. l may be nil.
func (l *List) Answer(payload []byte, now time.Duration) {
	if l == nil {
		return
	}
	i := slices.IndexFunc(l.pings, func(p *Ping) bool { return bytes.Equal(p.payload[:], payload) })
	if i < 0 {
		return
	}
	l.latency = now - l.pings[i].sent
	for _, p := range l.pings[:i+1] {
		if p.answered != nil {
			p.answered <- now - p.sent
		}
	}
	l.pings = slices.Delete(l.pings, 0, i+1)
}

// Latency returns the round-trip time of the last pong, 0 if none has arrived.
func (l *List) Latency() time.Duration { return l.latency }

// Fail ends all pings: no pong can arrive. l may be nil.
func (l *List) Fail() {
	if l == nil {
		return
	}
	for _, p := range l.pings {
		if p.answered != nil {
			close(p.answered)
		}
	}
	l.pings = nil
}

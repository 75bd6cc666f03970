package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// member is one connection of the load.
type member struct {
	conn     *wsmanager.Conn
	latency  *histogram    // shared with other members
	received atomic.Uint64 // messages of this run, without duplicates
	sent     atomic.Uint64 // written while mu is held
	ended    atomic.Bool

	// Constant after the load has begun.
	sender int // number of the sender; -1 if it only receives

	mu       sync.Mutex // serialises senders; guards answered
	answered uint64     // own messages that have been received, or overtaken by a received one

	// streams has one element in echo mode and one for each sender in broadcast mode. The
	// callbacks of conn own it after the load has begun.
	streams []stream
}

// pump sends the due messages within the limit of messages in flight. It reports whether it
// has sent any.
func (l *load) pump(m *member) (sent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !l.interrupted.Load() && !l.closing.Load() {
		now := l.now()
		due, number := now, m.sent.Load()
		if number >= l.due(m.sender, now) || number >= m.answered+uint64(l.cfg.inFlight) {
			break
		}
		if l.cfg.rate > 0 {
			due = l.pace.at(uint64(m.sender) + number*uint64(l.senders))
		}
		if !l.send(m, stamp{uint32(m.sender), number, due}) {
			break
		}
		sent = true
	}
	return sent
}

// send sends one message. It returns false if the outbox is full: the next pump tries
// again.
func (l *load) send(m *member, s stamp) bool {
	buf := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(buf)
	*buf = l.codec.encode((*buf)[:0], s)
	m.sent.Store(s.sequence + 1) // before the answer can arrive
	if err := m.conn.Send(wsmanager.Message{Type: l.codec.messageType(), Payload: *buf}); err != nil {
		m.sent.Store(s.sequence)
		return false
	}
	return true
}

// due returns the number of messages that a sender should have sent at a time.
func (l *load) due(sender int, now time.Duration) uint64 {
	if l.cfg.rate == 0 {
		if now >= l.cfg.duration {
			return 0
		}
		return ^uint64(0)
	}
	return share(min(l.pace.by(now), l.pace.before(l.cfg.duration)), sender, l.senders)
}

// receive checks a message. It runs in the callback of the connection.
func (l *load) receive(m *member, msg wsmanager.Message) {
	s, err := l.codec.decode(msg)
	if err != nil || !l.begun.Load() {
		if err == faultCorrupted {
			l.corrupted.Add(1)
		} else {
			l.foreign.Add(1)
		}
		return
	}
	own := int(s.sender) == m.sender
	which := int(s.sender)
	if l.cfg.mode == modeEcho {
		which = 0
	}
	if which >= len(m.streams) || l.cfg.mode == modeEcho && !own || s.sequence >= l.sending[s.sender].sent.Load() {
		l.foreign.Add(1)
		return
	}
	switch m.streams[which].arrive(s.sequence) {
	case arrivedTwice:
		l.duplicated.Add(1)
		return
	case arrivedLate:
		l.reordered.Add(1)
	}
	now := l.now()
	m.received.Add(1)
	m.latency.add(now - s.due)
	l.lastReceived.Store(int64(now))
	if own {
		m.mu.Lock()
		m.answered = m.streams[which].seen
		m.mu.Unlock()
		l.pump(m)
	}
}

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
	latency  *histogram    // shared with others
	received atomic.Uint64 // messages of the run, each once
	sent     atomic.Uint64 // messages handed over; changes under mu
	ended    atomic.Bool

	// Static once the load has begun.
	sender int // among the senders; -1 if it only receives

	mu   sync.Mutex // of who sends; guards what follows
	back uint64     // of what was sent, how much has come back, or been overtaken by what has

	streams []stream // owned by the callbacks, once the load has begun; by sender in a broadcast
}

// pump sends what is due, as far as the limit of messages on their way allows, and
// returns whether that was anything.
func (l *load) pump(m *member) (sent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !l.interrupted.Load() && !l.closing.Load() {
		now := l.now()
		due, number := now, m.sent.Load()
		if number >= l.due(m.sender, now) || number >= m.back+uint64(l.cfg.inFlight) {
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

// send sends one message. One for which there is no room has not been sent: the next
// pump tries again.
func (l *load) send(m *member, s stamp) bool {
	buf := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(buf)
	*buf = l.codec.encode((*buf)[:0], s)
	m.sent.Store(s.sequence + 1) // before it can come back
	if err := m.conn.Send(wsmanager.Message{Type: l.codec.messageType(), Payload: *buf}); err != nil {
		m.sent.Store(s.sequence)
		return false
	}
	return true
}

// due returns how many messages a sender should have sent by now.
func (l *load) due(sender int, now time.Duration) uint64 {
	if l.cfg.rate == 0 {
		if now >= l.cfg.duration {
			return 0
		}
		return ^uint64(0)
	}
	return share(min(l.pace.by(now), l.pace.before(l.cfg.duration)), sender, l.senders)
}

// receive checks a message. It runs in the connection's callback.
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
	case arrivedAgain:
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
		m.back = m.streams[which].seen
		m.mu.Unlock()
		l.pump(m)
	}
}

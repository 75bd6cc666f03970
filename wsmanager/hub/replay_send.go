package hub

import (
	"context"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// The records of a session are kept in replay.unacked in any case, so the outbox of a socket need not have room for all of
// them: what does not fit is passed to it by a goroutine, as room becomes available.

// sendLocked sends the records that follow the message with the number before. If others wait, these wait behind them.
func (r *replay) sendLocked(before int64, records [][]byte) {
	if r.ws == nil || !r.live || r.pumping || r.written != before {
		return
	}
	buf := joinBuffers.Get().(*[]byte)
	defer joinBuffers.Put(buf)
	for len(records) > 0 {
		payload, n := joinRecords(buf, records, r.session.config.maxJoined)
		if r.passLocked(payload) != nil {
			r.pumpLocked()
			return
		}
		r.written += int64(n)
		records = records[n:]
	}
}

// passLocked passes records to the outbox of the socket, if it has room.
func (r *replay) passLocked(payload []byte) error {
	r.session.touch()
	return r.ws.Send(r.session.frame(payload))
}

// flushLocked sends the records that the socket has not got.
func (r *replay) flushLocked() {
	r.written = r.firstUnackedLocked() - 1
	if r.unacked.len() > 0 {
		r.sendLocked(r.written, r.unacked.from(0))
	}
}

// pumpLocked starts the goroutine that waits for room in the outbox.
func (r *replay) pumpLocked() {
	r.pumping = true
	ws := r.ws
	r.session.config.run(func() { r.pump(ws) })
}

func (r *replay) pump(ws *wsmanager.Conn) {
	buf := new([]byte)
	for {
		r.mu.Lock()
		if r.ws != ws || r.written >= r.sent {
			r.endPumpLocked(ws)
			return
		}
		last := r.written
		payload, n := joinRecords(buf, r.unacked.from(int(last+1-r.firstUnackedLocked())), r.session.config.maxJoined)
		r.mu.Unlock()
		r.session.touch()
		err := ws.SendContext(context.Background(), r.session.frame(payload)) // fails when the socket ends
		r.mu.Lock()
		if err != nil {
			r.endPumpLocked(ws)
			return
		}
		if r.ws == ws {
			r.written = max(r.written, last+int64(n))
		}
		r.mu.Unlock()
	}
}

// endPumpLocked ends pump, and unlocks.
func (r *replay) endPumpLocked(ws *wsmanager.Conn) {
	var drained func()
	if r.ws == ws {
		r.pumping = false
		drained, r.drained = r.drained, nil
	}
	r.mu.Unlock()
	if drained != nil {
		drained()
	}
}

// whenDrained calls f when all messages were passed to the socket, or when it has ended. There is no other socket.
func (r *replay) whenDrained(f func()) {
	r.mu.Lock()
	if r.pumping {
		r.drained = f
		f = nil
	}
	r.mu.Unlock()
	if f != nil {
		f()
	}
}

// control sends a record that is not counted, if there is a socket whose other side is ready.
func (r *replay) control(record []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ws == nil || !r.live {
		return nil
	}
	return r.passLocked(record)
}

// sendSequenceLocked sends an Ack or a Sequence. Version 2 needs a protocol that encodes both.
func (r *replay) sendSequenceLocked(m Message) error {
	record, err := r.session.protocol.Append(nil, m)
	if err != nil {
		return err
	}
	return r.passLocked(record)
}

package hub

import (
	"context"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// The records of a session are kept in replay.unacked in any case, so the outbox of a socket need not have room for all of
// them: what does not fit is passed to it by a goroutine, as room becomes available.

// sendLocked passes the records to the socket that it has not got.
func (r *replay) sendLocked() {
	if r.ws == nil || !r.live || r.pumping || r.failed {
		return
	}
	buf := joinBuffers.Get().(*[]byte)
	defer joinBuffers.Put(buf)
	for r.written < r.sent {
		payload, n := r.joinLocked(buf)
		if r.passLocked(payload) != nil {
			r.pumping = true
			ws := r.ws
			r.session.config.run(func() { r.pump(ws) })
			return
		}
		r.written += int64(n)
	}
}

// joinLocked joins the records that follow r.written, as many as may be in one WebSocket message.
func (r *replay) joinLocked(buf *[]byte) (payload []byte, n int) {
	first := r.written + 1
	records := r.unacked.from(int(first - r.firstUnackedLocked()))
	if len(r.trailers) == 0 {
		return joinRecords(buf, records, r.session.config.maxJoined)
	}
	*buf = (*buf)[:0]
	for n == 0 || n < len(records) && len(*buf)+len(records[n]) <= r.session.config.maxJoined {
		*buf = append(append(*buf, records[n]...), r.trailers[first+int64(n)]...)
		n++
	}
	return *buf, n
}

// passLocked passes records to the outbox of the socket, if it has room.
func (r *replay) passLocked(payload []byte) error {
	r.session.touch()
	return r.ws.Send(r.session.frame(payload))
}

// pump waits for room in the outbox of a socket.
func (r *replay) pump(ws *wsmanager.Conn) {
	buf := new([]byte)
	for {
		r.mu.Lock()
		if r.ws != ws || r.written >= r.sent {
			r.endPumpLocked(ws, nil)
			return
		}
		before := r.written
		payload, n := r.joinLocked(buf)
		r.mu.Unlock()
		r.session.touch()
		err := ws.SendContext(context.Background(), r.session.frame(payload)) // fails when the socket ends
		r.mu.Lock()
		if err != nil {
			r.endPumpLocked(ws, err)
			return
		}
		if r.ws == ws {
			r.written = max(r.written, before+int64(n))
		}
		r.mu.Unlock()
	}
}

// endPumpLocked ends pump, and unlocks.
func (r *replay) endPumpLocked(ws *wsmanager.Conn, err error) {
	var drained func()
	if r.ws == ws {
		r.pumping, r.failed = false, err != nil
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

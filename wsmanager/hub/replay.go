package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// ackInterval is how long after the first message that came the client is told that
// it has arrived, and all others until then.
const ackInterval = time.Second

// replay is what makes a connection outlive its socket: messages of both sides are
// counted, what the client has not acknowledged is kept, and what comes twice is
// dropped (SignalR Hub Protocol, version 2).
type replay struct {
	replaySettings

	mu      sync.Mutex      // guards what follows; comes after conn.mu
	ws      *wsmanager.Conn // nil between two sockets
	attempt uint64          // to resume, that ws comes from
	stopped bool            // there won't be another socket

	sent   int64         // the number of the last message
	unsure [][]byte      // the last of them, which the client has not acknowledged
	bytes  int           // of them
	room   chan struct{} // closed when there may be room; nil while nobody waits
	deaf   bool          // the reader waits for us, so no acknowledgement is read

	received int64 // the highest number that has arrived
	next     int64 // the number of the next message that comes
	waiting  bool  // for the client's Sequence: until then what comes has no number
	acked    int64 // of what was received
	timer    *time.Timer
}

// replaySettings is what a replay has of its connection, which is a server's or a
// client's.
type replaySettings struct {
	protocol Protocol
	limit    int                                 // of what is kept, in bytes
	buffer   int                                 // from which on writes wait
	frame    func(data []byte) wsmanager.Message // makes a WebSocket message of a record
	touch    func()                              // notes that something is sent
	overflow func(err error)                     // is told that the limit is reached
	waits    func(n int)                         // is told that a write begins, or ends, to wait; may be nil
}

func newReplay(s replaySettings, ws *wsmanager.Conn) *replay {
	return &replay{replaySettings: s, ws: ws, next: 1}
}

func (c *conn) replaySettings(protocol Protocol) replaySettings {
	o := &c.hub.opts
	return replaySettings{
		protocol: protocol, limit: o.WebSocket.OutboxBytes, buffer: o.StatefulBuffer, frame: c.frame, touch: c.touch,
		overflow: func(err error) {
			c.close(&Close{Error: "The client does not acknowledge its messages."}, wsmanager.StatusTryAgainLater, err)
		},
	}
}

// post sends a record that counts. Between two sockets it is only kept.
func (r *replay) post(data []byte) error {
	r.mu.Lock()
	err := r.postLocked(data)
	r.mu.Unlock()
	if errors.Is(err, ErrSlowConsumer) {
		r.overflow(err)
	}
	return err
}

func (r *replay) postLocked(data []byte) error {
	switch {
	case r.stopped:
		return ErrClosed
	case len(data) > r.limit:
		return wsmanager.ErrMessageTooBig
	case len(data) > r.limit-r.bytes:
		return ErrSlowConsumer
	}
	r.sent++
	r.unsure = append(r.unsure, data)
	r.bytes += len(data)
	r.sendLocked(data)
	return nil
}

// sendLocked hands a record to the socket. If that is closing, the record is replayed on
// the next.
func (r *replay) sendLocked(data []byte) {
	if r.ws != nil {
		r.touch()
		_ = r.ws.Send(r.frame(data))
	}
}

// write waits while too much is unacknowledged.
func (r *replay) write(ctx context.Context, data []byte) error {
	for {
		r.mu.Lock()
		if r.stopped || len(data) > r.limit || len(data) <= r.limit-r.bytes && (r.bytes < r.buffer || r.deaf) {
			defer r.mu.Unlock()
			return r.postLocked(data)
		}
		if r.room == nil {
			r.room = make(chan struct{})
		}
		room := r.room
		r.mu.Unlock()
		if err := r.await(ctx, room); err != nil {
			return err
		}
	}
}

func (r *replay) await(ctx context.Context, room <-chan struct{}) error {
	if r.waits != nil {
		r.waits(1)
		defer r.waits(-1)
	}
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// setDeaf says whether the reader waits for calls of its client. Writes don't wait for
// acknowledgements then, which may come behind what is not read: the calls may not end
// before they have written.
func (r *replay) setDeaf(deaf bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deaf = deaf; deaf {
		r.roomLocked()
	}
}

// stuck reports whether writes wait though no acknowledgement is read.
func (r *replay) stuck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deaf && r.room != nil
}

// deaf is setDeaf, where it matters.
func (c *conn) deaf(on bool) {
	if c.replay != nil {
		c.replay.setDeaf(on)
	}
}

// control sends a record that does not count, if there is a socket.
func (r *replay) control(data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sendLocked(data)
	return nil
}

func (r *replay) roomLocked() {
	if r.room != nil {
		close(r.room)
		r.room = nil
	}
}

// acknowledge drops what the client has.
func (r *replay) acknowledge(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.sent - int64(len(r.unsure)) + 1
	switch {
	case n > r.sent:
		return fmt.Errorf("the other side acknowledges message %d of %d", n, r.sent)
	case n < first:
		return nil
	}
	for _, data := range r.unsure[:n-first+1] {
		r.bytes -= len(data)
	}
	r.unsure = append([][]byte(nil), r.unsure[n-first+1:]...)
	r.roomLocked()
	return nil
}

// arrived counts a message and reports whether it is new.
func (r *replay) arrived() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting {
		return false
	}
	n := r.next
	r.next++
	if n <= r.received {
		return false
	}
	r.received = n
	if r.timer == nil {
		r.timer = time.AfterFunc(ackInterval, r.ack)
	} else if r.received == r.acked+1 {
		r.timer.Reset(ackInterval)
	}
	return true
}

// ack tells the client what has arrived.
func (r *replay) ack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.ws == nil || r.acked == r.received {
		return
	}
	r.acked = r.received
	data, err := r.protocol.Append(nil, &Ack{SequenceID: r.received})
	if err == nil { // a protocol that has no Ack can't be spoken in version 2
		r.sendLocked(data)
	}
}

// resync is the client's first message on a new socket: the number of the next that
// comes.
func (r *replay) resync(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < 1 || n > r.received+1 {
		return fmt.Errorf("the other side goes on with message %d after %d have arrived", n, r.received)
	}
	r.next, r.waiting = n, false
	if r.acked >= n { // it does not know: the Ack was lost with its socket
		r.acked = n - 1
		r.timer.Reset(ackInterval)
	}
	return nil
}

// resumable reports whether another socket may take over.
func (c *conn) resumable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready && !c.closing && c.replay != nil
}

// suspend keeps the connection, whose socket broke, for a while. It reports false if
// that can't be.
func (c *conn) suspend(ws *wsmanager.Conn) bool {
	if !c.resumable() {
		return false
	}
	r := c.replay
	c.mu.Lock()
	defer c.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.closing || r.stopped:
		return false
	case r.ws != ws:
		return true // a new one is there already
	}
	r.ws = nil
	c.socket.Store(nil)
	c.resume = time.AfterFunc(c.hub.opts.ResumeWindow, func() { c.hub.running.run(c.giveUp) })
	return true
}

// errNotResumed is why a connection ends that broke and was not resumed.
var errNotResumed = errors.New("hub: the connection broke and was not resumed")

// giveUp ends a connection that was not resumed in time.
func (c *conn) giveUp() {
	if c.socket.Load() == nil {
		c.close(nil, wsmanager.StatusNormalClosure, errNotResumed)
	}
}

// resumed goes on with a new socket: what the client may have missed is sent again,
// behind the number that it begins with. A socket that is still there is given up: the
// client knows better than we that it is of no use.
func (c *conn) resumed(ws *wsmanager.Conn, attempt uint64) {
	r := c.replay
	c.mu.Lock()
	defer c.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.closing || r.stopped || attempt < r.attempt { // or it has broken as well, and been replaced already
		_ = ws.Close(wsmanager.StatusNormalClosure, "") // the code is a valid one
		return
	}
	if c.resume != nil {
		c.resume.Stop()
		c.resume = nil
	}
	old := r.ws
	r.attempt = attempt
	c.lastRead.Store(int64(c.hub.now()))
	c.socket.Store(ws)
	r.resumeLocked(ws)
	if old != nil { // whose end, now, is not the connection's
		_ = old.Close(wsmanager.StatusNormalClosure, "") // the code is a valid one
	}
}

// resume goes on with a new socket.
func (r *replay) resume(ws *wsmanager.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resumeLocked(ws)
}

func (r *replay) resumeLocked(ws *wsmanager.Conn) {
	r.ws, r.waiting = ws, true
	data, err := r.protocol.Append(nil, &Sequence{SequenceID: r.sent - int64(len(r.unsure)) + 1})
	if err == nil { // as in ack
		r.sendLocked(data)
	}
	for _, data := range r.unsure {
		r.sendLocked(data)
	}
	if r.acked != r.received {
		r.timer.Reset(ackInterval)
	}
}

// suspend is the end of a socket that another may follow.
func (r *replay) suspend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ws = nil
}

// stop ends it for good, and returns the socket.
func (r *replay) stop() *wsmanager.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.roomLocked()
	if r.timer != nil {
		r.timer.Stop()
	}
	ws := r.ws
	return ws
}

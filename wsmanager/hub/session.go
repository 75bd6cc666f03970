package hub

import (
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/cutter"
)

// session is one connection of the hub protocol, from its handshake to its end: it reads records from its sockets, sends
// records, keeps the connection alive and replays messages after a resume. Both sides use it. A server has one for each
// conn. A client's Connection has a new one after each reconnect; a resumed connection keeps its session.
//
// A session does not decide when the connection ends. Its owner does, and owns the sockets.
type session struct {
	owner  sessionOwner
	config *sessionConfig

	protocol Protocol // a server sets it with handshakeDone
	replay   *replay  // nil unless the connection is stateful; set with handshakeDone

	// sink is the hub's member of audiences for a connection that outlives its socket. All counted messages pass through it,
	// so that they keep their order with broadcasts. nil if the socket itself is the member, and for clients.
	sink *wsmanager.Conn

	socket   atomic.Pointer[wsmanager.Conn] // nil while the session has none
	lastSent atomic.Int64                   // in the clock of sessionConfig.start
	lastRead atomic.Int64                   // in the clock of sessionConfig.start
	reading  atomic.Bool                    // the reader is busy, so nothing is received

	handshakeDone bool // written by the reader only
}

// sessionOwner is the connection that a session belongs to.
type sessionOwner interface {
	// addWaiting is called with 1 when a write starts to wait for the other side, and with -1 when it stops waiting.
	addWaiting(n int)

	// replayOverflow is called when unacknowledged messages have reached the limit. The owner ends the connection.
	replayOverflow(err error)
}

// inbound is a socket of a session, as the session's reader uses it.
type inbound interface {
	webSocket() *wsmanager.Conn

	// active reports whether the records of the socket still count.
	active() bool

	// handshake handles the first record of a session. A nil error sets session.handshakeDone, or ends the socket.
	handshake(record []byte, t wsmanager.MessageType) error

	// handle handles all messages except Ping, Ack and Sequence.
	handle(m Message) error
}

// sessionConfig has the settings that the sessions of one hub, or of one Connection, share.
type sessionConfig struct {
	start             time.Time // zero of the sessions' clock
	keepAliveInterval time.Duration
	timeout           time.Duration // without a message from the other side
	maxReceiveSize    int
	maxSendSize       int
	replayLimit       int // bytes of memory that unacknowledged messages may take
	replayBuffer      int // bytes that may be unacknowledged before writes wait

	maxJoined int            // bytes of records in one WebSocket message; a single record may be bigger
	run       func(f func()) // runs f on a goroutine that the owner waits for

	// reportWaits says that the outbox reports that it is full instead of closing the socket. Then only writes that have
	// to wait call addWaiting.
	reportWaits bool
}

func (c *sessionConfig) now() time.Duration { return time.Since(c.start) }

// installed notes that the session has its first socket.
func (s *session) installed(ws *wsmanager.Conn) {
	now := int64(s.config.now())
	s.lastRead.Store(now)
	s.lastSent.Store(now)
	s.socket.Store(ws)
}

// receive reads the records of a piece of a WebSocket message, whose type is t. A record may be split over several messages
// of a socket: records has the rest. The error is that of the handshake until handshakeDone is set.
func (s *session) receive(in inbound, records *cutter.Cutter, t wsmanager.MessageType, piece []byte) error {
	s.lastRead.Store(int64(s.config.now()))
	s.reading.Store(true)
	defer func() {
		s.lastRead.Store(int64(s.config.now()))
		s.reading.Store(false)
	}()
	records.Push(piece)
	for in.active() {
		record, ok, err := records.Next(s.cut)
		switch {
		case err != nil:
		case !ok:
			records.Keep()
			return nil
		case !s.handshakeDone:
			err = in.handshake(record, t)
		default:
			err = s.receiveRecord(in, record)
		}
		if err != nil {
			records.Drop()
			return err
		}
	}
	records.Drop()
	return nil
}

// cut implements cutter.Func.
func (s *session) cut(data []byte, seen int) (record []byte, size int, err error) {
	if _, text := s.protocol.(jsonProtocol); text || !s.handshakeDone {
		return cutText(data, seen, s.config.maxReceiveSize)
	}
	return s.protocol.Cut(data, s.config.maxReceiveSize)
}

func (s *session) receiveRecord(in inbound, record []byte) error {
	m, err := s.protocol.Parse(record)
	if err != nil || m == nil {
		return err
	}
	if s.replay != nil && m.Kind().counted() {
		if !s.replay.arrives(len(record)) {
			return nil // it was handled before the connection broke
		}
		if err = in.handle(m); err == nil {
			s.replay.handled()
		}
		return err
	}
	switch m := m.(type) {
	case *Ping: // lastRead is already set
		return nil
	case *Ack:
		if s.replay == nil {
			return nil
		}
		return s.replay.acknowledge(m.SequenceID)
	case *Sequence:
		if s.replay == nil {
			return nil
		}
		return s.replay.resync(in.webSocket(), m.SequenceID)
	}
	return in.handle(m)
}

// checkTimers sends a Ping when one is due. It returns when to check again, and whether the other side has been silent
// for too long.
func (s *session) checkTimers() (next time.Duration, timedOut bool) {
	c := s.config
	now := c.now()
	if s.reading.Load() && !s.writesBlocked() || s.socket.Load() == nil {
		s.lastRead.Store(int64(now)) // messages of the other side could not be read
	}
	silent, quiet := now-time.Duration(s.lastRead.Load()), now-time.Duration(s.lastSent.Load())
	if silent >= c.timeout {
		return c.keepAliveInterval, true
	}
	if quiet >= c.keepAliveInterval {
		quiet = 0
		_ = s.control(&Ping{}) // an error means that the socket ends, or that its outbox is full: then a Ping is not needed
	}
	return max(time.Millisecond, min(c.keepAliveInterval-quiet, c.timeout-silent)), false
}

// writesBlocked reports whether a write waits for an acknowledgement that the paused reader cannot read.
func (s *session) writesBlocked() bool { return s.replay != nil && s.replay.writesBlocked() }

// setReadPaused marks the reader as blocked on the session's calls; see replay.setReadPaused.
func (s *session) setReadPaused(paused bool) {
	if s.replay != nil {
		s.replay.setReadPaused(paused)
	}
}

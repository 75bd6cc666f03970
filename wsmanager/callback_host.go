package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/frame"

// callbackHost is a Conn as its dispatcher sees it: the implementation of dispatchHost.
type callbackHost Conn

var _ dispatchHost = (*callbackHost)(nil)

func (h *callbackHost) session() *session { return (*session)(h) }

func (h *callbackHost) Lock()   { h.mu.Lock() }
func (h *callbackHost) Unlock() { h.mu.Unlock() }

func (h *callbackHost) isOpen() bool            { return h.life.state == stateOpen }
func (h *callbackHost) hasEnded() bool          { return h.life.ended || h.life.state == stateCut }
func (h *callbackHost) handover() *handover     { return h.life.handover() }
func (h *callbackHost) makeHandover() *handover { return &h.life.details().handover }
func (h *callbackHost) maxQueuedSize() int      { return h.m.opts.MaxMessageSize }
func (h *callbackHost) resumeReading()          { h.in.touch(h.m.wheel.Now()) }

func (h *callbackHost) takeReader() (driver, bool) { return takeReader(h.out.Transport()) }

func (h *callbackHost) readOn(d driver, tenure uint32) {
	go d.readOn((*Conn)(h), h.in.takeUnread(), tenure)
}

func (h *callbackHost) watch() { h.m.watch.add((*Conn)(h)) }

func (h *callbackHost) onReceived(m received) error {
	var err error
	if f := h.m.callbacks.OnPiece; f != nil {
		err = f((*Conn)(h), Piece{Type: m.typ, Data: m.payload, First: m.first, Last: m.last})
	} else {
		err = h.m.callbacks.OnMessage((*Conn)(h), Message{Type: m.typ, Payload: m.payload})
	}
	return callbackFailed(err, h.m.opts.InvalidUTF8)
}

func (h *callbackHost) onQueued(m received) error {
	if m.compressed {
		buf := frame.GetBuffer()
		defer frame.PutBuffer(buf)
		plain, err := h.m.inflate(buf, m.typ, m.payload)
		if err != nil {
			return err
		}
		m.payload = plain
	}
	return h.onReceived(m)
}

func (h *callbackHost) panicked(v any) error { return h.session().panicked(v) }

// endAsAsked closes the connection after the reader's callback has returned an error. It
// returns the error with which the reader has to end it instead, or nil.
func (h *callbackHost) endAsAsked(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life.endAsAsked(h.session(), err)
}

func (h *callbackHost) endTaken(err error) {
	if err == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.life.endTaken(h.session(), err)
}

func (h *callbackHost) reportClosePanic(err error) { logClosePanic((*Conn)(h), err) }

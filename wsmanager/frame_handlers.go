package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// openFrames is the frame.Handler of an open connection.
type openFrames Conn

// OnData implements frame.Handler.
func (f *openFrames) OnData(op ws.OpCode, payload []byte, more bool) error {
	m := received{typ: MessageType(op), first: true, last: true, payload: payload}
	if wanted, err := f.accept(m); !wanted {
		return err
	}
	return f.handle(m, more)
}

// OnCompressed implements frame.Handler. It inflates a message once it has arrived
// completely, so that a slow peer holds no inflater and no more memory than its bytes.
// Messages that will be dropped are not inflated.
func (f *openFrames) OnCompressed(op ws.OpCode, payload []byte, more bool) error {
	m := received{typ: MessageType(op), first: true, last: true, compressed: true, payload: payload}
	if wanted, err := f.accept(m); !wanted {
		return err
	}
	buf := frame.GetBuffer()
	defer frame.PutBuffer(buf)
	plain, err := f.m.inflate(buf, m.typ, payload)
	if err != nil {
		return err
	}
	m.compressed, m.payload = false, plain
	return f.handle(m, more)
}

// OnPiece implements frame.Handler. Pieces are inflated already.
func (f *openFrames) OnPiece(p frame.Piece) error {
	if f.reception.IsClosing() {
		f.in.frames.Skip()
	}
	if p.Last && p.Compressed {
		f.m.counters.Compression.Inflated.Add(1)
	}
	m := received{typ: MessageType(p.Op), first: p.First, last: p.Last, payload: p.Data}
	if wanted, err := f.accept(m); !wanted {
		return err
	}
	return f.handle(m, p.More)
}

// inflate inflates a message into the buffer. Its error is a *CloseError.
func (m *Manager) inflate(buf *[]byte, t MessageType, payload []byte) ([]byte, error) {
	plain, err := deflate.Inflate(*buf, payload, t == TextMessage, m.opts.MaxMessageSize)
	*buf = plain
	if err != nil {
		return nil, closeErrorOf(err)
	}
	m.counters.Compression.Inflated.Add(1)
	return plain[:len(plain):len(plain)], nil
}

// accept counts a message and reports whether to handle it, or this piece of it, now. If not,
// the error is the reason for which the connection ends, or nil if it is closing or the
// message was queued.
func (f *openFrames) accept(m received) (wanted bool, err error) {
	if m.last {
		f.out.Traffic().MessagesIn.Add(1)
	}
	if f.reception.IsClosing() {
		return false, nil
	}
	if m.first {
		if err := f.in.checkMessageRate(f.m.wheel.Clock()); err != nil {
			return false, err
		}
	}
	if f.in.dispatch.taken() && f.m.callbacks.receives() && f.in.dispatch.enqueue((*callbackHost)(f), m) {
		return false, nil
	}
	return true, nil
}

// handle passes a message to OnMessage, or a piece to OnPiece.
func (f *openFrames) handle(m received, more bool) error {
	if !f.m.callbacks.receives() {
		return nil
	}
	if more {
		if epoch, ok := f.m.broadcaster.BeginCallback(); ok {
			defer f.m.broadcaster.EndCallback(epoch)
		}
	}
	err := f.in.dispatch.callMessage((*callbackHost)(f), m)
	if err == nil {
		return nil
	}
	return (*callbackHost)(f).endAsAsked(err)
}

// OnPing implements frame.Handler. It answers with a pong.
func (f *openFrames) OnPing(payload []byte) error {
	if err := f.in.checkControlRate(f.m.wheel.Elapsed(), f.m.opts.ControlRate); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.SendControl((*session)(f), ws.OpPong, payload)
	return nil
}

// OnPong implements frame.Handler. Pongs that answer our pings do not count against
// Options.Limits.ControlRate.
func (f *openFrames) OnPong(payload []byte) error {
	pongReceived((*Conn)(f), payload)
	if f.out.PongReceived() {
		return nil
	}
	return f.in.checkControlRate(f.m.wheel.Elapsed(), f.m.opts.ControlRate)
}

// OnClose implements frame.Handler.
func (f *openFrames) OnClose(code ws.StatusCode, reason string) error {
	(*session)(f).peerClosed(StatusCode(code), reason)
	return errEnded
}

// endedFrames is the frame.Handler of a connection that has ended for the application. It
// drops all frames except close frames.
type endedFrames Conn

func (f *endedFrames) OnData(ws.OpCode, []byte, bool) error       { return nil }
func (f *endedFrames) OnCompressed(ws.OpCode, []byte, bool) error { return nil }
func (f *endedFrames) OnPiece(frame.Piece) error                  { return nil }
func (f *endedFrames) OnPing([]byte) error                        { return nil }
func (f *endedFrames) OnPong([]byte) error                        { return nil }

func (f *endedFrames) OnClose(code ws.StatusCode, reason string) error {
	(*session)(f).peerClosed(StatusCode(code), reason)
	return nil
}

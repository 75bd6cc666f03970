package wsmanager

import (
	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Continue is called in OnMessage or OnPiece of c, and requests one call of
// Callbacks.OnContinue, on this goroutine. It returns false if that is not possible: the
// connection is not in an event loop, or the callback runs on another goroutine than that
// of the loop because an earlier one took long, or OnContinue is not set. Then OnContinue
// is not called, and the work needs a goroutine of its own.
//
// A call on a goroutine of its own costs more than most messages. Work that is left to
// OnContinue costs nothing more than in the callback, and delays the connection no more than
// on a goroutine: if it does not return soon, the loop continues without it.
func Continue(c *Conn) bool {
	l := transport.LoopOf(c.out.Transport())
	return l != nil && c.m.callbacks.OnContinue != nil && !c.in.dispatch.taken() && l.RequestFollowUp()
}

// loopOptions returns the options of the Manager's event loops.
func (m *Manager) loopOptions() evloop.Options {
	o := evloop.Options{Logf: m.logLoop}
	if m.callbacks.OnContinue != nil {
		o.FollowUp = followUp
	}
	return o
}

package hub

import (
	"math"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// NoLimit is a value of MaxSendSize that switches the limit off.
const NoLimit = -1

// size fills in a limit that NoLimit switches off.
func (d *defaults) size(name string, v *int, def int) {
	switch {
	case *v == 0:
		*v = def
	case *v == NoLimit:
		*v = math.MaxInt
	case *v < 0:
		d.add("%s is %d: it must be positive, 0 for the default of %d, or NoLimit", name, *v, def)
	}
}

// checkSize returns ErrMessageTooBig if the content of a record has more than limit bytes. Only the protocol knows how many
// bytes are framing.
func checkSize(p Protocol, record []byte, limit int) error {
	if len(record) <= limit {
		return nil
	}
	if _, n, err := p.Cut(record, limit); err != nil || n == 0 {
		return wsmanager.ErrMessageTooBig
	}
	return nil
}

// sendLimit returns the limit of a message. Those without data of the application have none: a limit that is very small must
// not keep a call from its end.
func (c *sessionConfig) sendLimit(m Message) int {
	switch m := m.(type) {
	case *CancelInvocation:
		return math.MaxInt
	case *Completion:
		if m.Error == "" && m.Result == nil {
			return math.MaxInt
		}
	}
	return c.maxSendSize
}

// completeSizes sets the options of the WebSocket that the sizes of records decide. Both sides check records themselves, and
// cut them out of pieces. So a WebSocket message has no limit of its own in either direction: Limits.MaxMessageSize is that of
// a piece, and of the bytes that are read ahead.
func completeSizes(d *defaults, limits *wsmanager.Limits, outbox *wsmanager.Outbox) {
	if outbox.MaxMessageSize != 0 {
		d.add("WebSocket.Outbox.MaxMessageSize is set: use MaxSendSize, which limits each record")
	}
	outbox.MaxMessageSize = math.MaxInt
	if outbox.Bytes == 0 {
		outbox.Bytes = defaultOutbox
	}
	if limits.MaxMessageSize == 0 {
		limits.MaxMessageSize = defaultReadAhead
	}
}

// defaultOutbox is wsmanager's default of Outbox.Bytes.
const defaultOutbox = 1 << 20

// defaultReadAhead is the default of WebSocket.Limits.MaxMessageSize.
const defaultReadAhead = 1023 << 10

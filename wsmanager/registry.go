package wsmanager

import (
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/registry"
)

// allConns has the registered connections of a Manager by id. It is the set that broadcasts to
// all are sent to.
type allConns struct {
	registry.Table[*broadcastConn]
}

// get returns the connection with the id, or nil.
func (a *allConns) get(id string) *Conn { return a.Get(id).conn() }

// AppendTo implements broadcast.Set.
func (a *allConns) AppendTo(list []broadcast.Recipient[*broadcastConn]) []broadcast.Recipient[*broadcastConn] {
	list = slices.Grow(list, a.Len())
	a.Walk(func(chains []*broadcastConn) {
		for _, c := range chains {
			for ; c != nil; c = c.next {
				list = append(list, broadcast.Recipient[*broadcastConn]{Conn: c})
			}
		}
	})
	return list
}

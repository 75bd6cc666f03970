package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/registry"

// allConns has the registered connections of a Manager: by id, and as the set that
// broadcasts to all are sent to.
type allConns struct {
	table registry.Table[*session]
	queue broadcastQueue
}

func (a *allConns) init() {
	a.table.Init()
	a.queue.to = a
}

func (a *allConns) add(c *Conn)    { a.table.Add(c.session()) }
func (a *allConns) remove(c *Conn) { a.table.Remove(c.session()) }
func (a *allConns) len() int       { return a.table.Len() }

// get returns the connection with the id, or nil.
func (a *allConns) get(id string) *Conn { return a.table.Get(id).conn() }

func (a *allConns) appendTo(list []recipient) []recipient {
	a.table.Walk(func(s *session) { list = append(list, recipient{c: s.conn()}) })
	return list
}

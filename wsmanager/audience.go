package wsmanager

import (
	"cmp"
	"errors"
	"iter"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/names"
)

// Audience is a set of connections of a Manager: all of them, those of groups or users, or
// those with given ids. See [Manager.All], [Manager.Group], [Manager.Groups],
// [Manager.Users] and [Manager.Conns]. It is a value: it costs nothing to make, can be kept,
// and is resolved at each call. A connection that is in several of the groups is in the
// audience once. The zero value has no connections.
//
// With a backplane (Options.Backplane) the audience has the connections of all nodes, except
// after WhereLocal. [Audience.Local], [Audience.Len] and [Sent] tell of this node's
// connections only. The other nodes get a send in the order of this node's sends. Sends that
// two nodes make at the same time may arrive in a different order on each node.
//
// All methods are safe for concurrent use.
type Audience struct {
	m      *Manager
	kind   audienceKind
	names  names.Set // of groups, users or connections
	except names.Set // ids
	keep   func(*Conn) bool
}

type audienceKind uint8

const (
	audienceNone audienceKind = iota
	audienceAll
	audienceGroups
	audienceUsers
	audienceConns
)

// Group is the audience of one group.
type Group struct{ Audience }

// Name returns the name of the group.
func (g Group) Name() string { return g.names.Only() }

// All returns the audience of all registered connections.
func (m *Manager) All() Audience { return Audience{m: m, kind: audienceAll} }

// Group returns the audience of the connections that have joined the name. A group exists
// as long as it has members; an empty group costs nothing.
func (m *Manager) Group(name string) Group {
	return Group{Audience{m: m, kind: audienceGroups, names: names.One(name)}}
}

// Groups returns the audience of the connections that have joined at least one of the names.
func (m *Manager) Groups(list ...string) Audience {
	return Audience{m: m, kind: audienceGroups, names: names.Of(list)}
}

// Users returns the audience of the connections that were accepted with one of these names
// in Accept.User. A user may have several connections.
func (m *Manager) Users(list ...string) Audience {
	return Audience{m: m, kind: audienceUsers, names: names.Of(list)}
}

// Conns returns the audience of the connections with these ids.
func (m *Manager) Conns(ids ...string) Audience {
	return Audience{m: m, kind: audienceConns, names: names.Of(ids)}
}

// Except returns the audience without the connections with these ids.
func (a Audience) Except(ids ...string) Audience {
	a.except = a.except.With(ids)
	return a
}

// WhereLocal returns the connections of the audience on this node for which keep returns
// true. It never reaches other nodes, because a function can't be sent to them. keep is
// called by the methods of the audience, on their goroutine and under no lock, for each
// connection just before the method applies to it. A group is a faster way to reach a few of
// many connections. WhereLocal panics if keep is nil.
func (a Audience) WhereLocal(keep func(*Conn) bool) Audience {
	if keep == nil {
		panic("wsmanager: WhereLocal: keep is nil")
	}
	if before := a.keep; before != nil {
		a.keep = func(c *Conn) bool { return before(c) && keep(c) }
	} else {
		a.keep = keep
	}
	return a
}

// Send sends a message to the connections that are in the audience when it begins. It does
// not wait for the network: a connection that reads too slowly meets its [SlowConsumer]
// policy, without any effect on the others. The frame is made once. Send does not keep the
// payload.
//
// Sends to one set (all connections, one group or one user) that follow each other faster
// than they can be delivered one by one are batched: each receiver gets several in one
// write. A single send has been written or queued for each receiver when Send returns.
// Otherwise Send may return while another goroutine delivers; if 64 sends or 128 KiB wait
// already, it waits until these are being delivered. Sends of callbacks, for messages that
// arrived together, are delivered after the last of these messages, at most a millisecond
// later. Sends to single connections, joins and closes do not wait for any of this. All
// receivers get the sends to one set in the same order. Messages of one goroutine arrive in
// the order of its calls, also when it sends to several sets and to single connections.
func (a Audience) Send(msg Message) Sent { return a.sendPrepared(Prepare(msg)) }

// SendJSON sends v as a text message in JSON. Sent.Err may be an error of json.Marshal.
func (a Audience) SendJSON(v any) Sent {
	p, err := PrepareJSON(v)
	if err != nil {
		return Sent{Err: err}
	}
	return a.sendPrepared(p)
}

// SendPrepared is Send for a prepared message.
func (a Audience) SendPrepared(p *Prepared) Sent { return a.sendPrepared(p) }

func (a *Audience) sendPrepared(p *Prepared) Sent {
	if a.kind == audienceNone {
		return Sent{}
	}
	sent := a.send(p)
	if sent.Queued == 0 { // otherwise p can be sent
		sent.setErr(a.m.checkPrepared(p))
	}
	return sent
}

// send sends p to the other nodes and to this node's connections, in this order, so that
// other nodes get it before its answers.
func (a *Audience) send(p *Prepared) (sent Sent) {
	switch {
	case a.keep != nil:
		return a.sendLocal(p)
	case a.kind == audienceConns:
		return a.sendConns(p)
	}
	err := a.m.bus.broadcast(a, p)
	sent = a.sendLocal(p)
	sent.setErr(err)
	return sent
}

// sendConns sends p to connections by id, which may be on other nodes.
func (a *Audience) sendConns(p *Prepared) (sent Sent) {
	var remote error
	for id := range a.names.All() {
		if a.except.Has(id) {
			continue
		}
		if c := a.m.registry.get(id); c != nil {
			a.sendTo(c, p, &sent)
		} else if err := a.m.bus.sendPrepared(id, p); err != ErrNoConn {
			remote = cmp.Or(remote, err)
		}
	}
	sent.setErr(remote)
	return sent
}

// sendLocal sends p to this node's connections: through the broadcast queue of a set, or to
// one connection after the other.
func (a *Audience) sendLocal(p *Prepared) Sent {
	if a.keep == nil && !a.names.Several() {
		switch a.kind {
		case audienceAll:
			return a.m.broadcast(&a.m.broadcaster.All, p, a.except)
		case audienceGroups, audienceUsers:
			set := a.sets().Get(a.names.Only())
			if set == nil {
				return Sent{}
			}
			return a.m.broadcast(&set.Queue, p, a.except)
		}
	}
	return a.sendEach(p)
}

// sendEach sends p to one connection after the other.
func (a *Audience) sendEach(p *Prepared) (sent Sent) {
	s := a.snapshot()
	defer s.Release()
	for _, r := range s.Recipients {
		if c := r.Conn.conn(); c.reception.IsReady() && a.has(c) {
			a.sendTo(c, p, &sent)
		}
	}
	return sent
}

// sendTo sends p to one connection of an audience, if the connection is ready and not closing,
// and counts the result. It logs the first error of encoding p.
func (a *Audience) sendTo(c *Conn, p *Prepared, sent *Sent) {
	e, ok := c.reception.Receiving()
	if !ok {
		return
	}
	frame, err := a.m.frame(p, e)
	if err == nil {
		sent.count(c.session().send(frame, true))
		return
	}
	sent.Dropped++
	a.m.counters.Drop(counters.Unsendable, 1)
	if sent.Err == nil {
		logUnsendable(a.m, err, e)
		sent.Err = err
	}
}

// Close begins to close the connections; see [Conn.Close]. It returns an error, and does
// nothing, if a close frame can't carry the code or the reason. It returns ErrNoConn if an id
// of [Manager.Conns] is unknown, and ErrBackplane if other nodes are not told. All other
// connections are closed nevertheless. With a backplane, nil does not mean that the
// connections of other nodes are closed, only that the nodes are told.
func (a Audience) Close(code StatusCode, reason string) error {
	if a.m != nil { // nil in the zero Audience
		reason = a.m.opts.InvalidUTF8.reason(reason)
	}
	if err := checkClose(code, reason); err != nil {
		return err
	}
	return a.apply(&envelope{kind: envelopeClose, code: code, text: []byte(reason)})
}

// Join makes the connections members of a group; see [Conn.Join]. It returns an error, and
// does nothing, for an invalid name. It returns the first of the other errors and goes on:
// ErrTooManyGroups, ErrBackplane as at Close, and for [Manager.Conns] also ErrNoConn for an
// unknown id and ErrClosed for a connection that is closing.
//
// With a backplane, the connections of other nodes join when their node is told. Sends of
// this node to the group after Join reach them, if the bus loses nothing. Sends of other
// nodes reach them soon afterwards. Errors of single connections stay on their node.
func (a Audience) Join(group string) error { return a.changeGroup(envelopeJoin, group) }

// Leave ends the membership of the connections in a group; see [Conn.Leave]. Its errors are
// those of Join.
func (a Audience) Leave(group string) error { return a.changeGroup(envelopeLeave, group) }

func (a *Audience) changeGroup(kind envelopeKind, group string) error {
	if err := checkGroupName(group); err != nil {
		return err
	}
	return a.apply(&envelope{kind: kind, text: []byte(group)})
}

// apply does what e says with the connections of all nodes.
func (a *Audience) apply(e *envelope) (err error) {
	switch {
	case a.kind == audienceNone:
		return nil
	case a.kind == audienceConns && a.keep == nil:
		return a.applyConns(e)
	case a.keep == nil:
		err = a.m.bus.apply(a, e)
	}
	return cmp.Or(err, a.applyLocal(e))
}

// applyConns does what e says with connections by id, which may be on other nodes.
func (a *Audience) applyConns(e *envelope) (first error) {
	for id := range a.names.All() {
		if a.except.Has(id) {
			continue
		}
		var err error
		if c := a.m.registry.get(id); c != nil {
			err = c.apply(e)
		} else {
			err = a.m.bus.applyTo(id, e)
		}
		first = cmp.Or(first, err)
	}
	return first
}

// applyLocal does what e says with this node's connections.
func (a *Audience) applyLocal(e *envelope) (first error) {
	s := a.snapshot()
	defer s.Release()
	for _, r := range s.Recipients {
		c := r.Conn.conn()
		if !a.has(c) {
			continue
		}
		if err := c.apply(e); !errors.Is(err, ErrClosed) { // a closing connection is leaving the set
			first = cmp.Or(first, err)
		}
	}
	return first
}

// Local walks the connections of the audience on this node that are registered when the
// walk begins, in no particular order. Connections that leave meanwhile may be in the walk.
// No lock is held while the loop's body runs.
func (a Audience) Local() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		if a.kind == audienceNone {
			return
		}
		s := a.snapshot()
		defer s.Release()
		for _, r := range s.Recipients {
			if c := r.Conn.conn(); a.has(c) && !yield(c) {
				return
			}
		}
	}
}

// Len returns the number of connections of the audience on this node.
func (a Audience) Len() (n int) {
	if a.keep == nil && a.except.Empty() && !a.names.Several() {
		switch a.kind {
		case audienceAll:
			return a.m.registry.Len() - int(a.m.carriers.Load())
		case audienceGroups, audienceUsers:
			if set := a.sets().Get(a.names.Only()); set != nil {
				return set.Len()
			}
			return 0
		}
	}
	for range a.Local() {
		n++
	}
	return n
}

// sets returns the groups or the users of the Manager.
func (a *Audience) sets() *broadcast.Groups[*broadcastConn] {
	if a.kind == audienceUsers {
		return &a.m.users
	}
	return &a.m.groups
}

// has reports whether a connection of the named sets is in the audience.
func (a *Audience) has(c *Conn) bool {
	return !c.reception.IsCarrier() && !a.except.Has(c.id) && (a.keep == nil || a.keep(c))
}

// snapshot returns this node's connections of the named sets, each once.
func (a *Audience) snapshot() *broadcast.Snapshot[*broadcastConn] {
	if a.kind == audienceAll {
		return broadcast.SnapshotOf(&a.m.registry)
	}
	s := broadcast.NewSnapshot[*broadcastConn]()
	for name := range a.names.All() {
		if a.kind == audienceConns {
			if c := a.m.registry.Get(name); c != nil {
				s.Recipients = append(s.Recipients, broadcast.Recipient[*broadcastConn]{Conn: c})
			}
		} else if set := a.sets().Get(name); set != nil {
			s.Recipients = set.AppendTo(s.Recipients)
		}
	}
	if a.kind == audienceGroups && a.names.Several() {
		s.Unique()
	}
	return s
}

package hub

import (
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Clients is all whom a hub can send to.
//
// What many get is encoded once for each protocol that they speak. A send waits for
// nobody: a client that reads too slowly meets the policy of
// Options.WebSocket.SlowConsumer. An error says that the arguments can't be encoded.
type Clients struct{ hub *Hub }

// Clients returns whom the hub can send to: for all that happens outside of calls.
func (h *Hub) Clients() Clients { return Clients{h} }

// CallerClients is Clients as the caller of a method sees them.
type CallerClients struct {
	Clients
	id string
}

// Receivers is a set of clients. It is a value, and finds its members anew for each
// send.
type Receivers struct {
	hub    *Hub
	set    set
	names  []string
	except []string
}

// set is what the names of Receivers are.
type set uint8

const (
	everybody set = iota
	connections
	groups
	users
)

// All is all connections.
func (c Clients) All() Receivers { return Receivers{hub: c.hub} }

// AllExcept is all but the connections with these ids.
func (c Clients) AllExcept(ids ...string) Receivers { return Receivers{hub: c.hub, except: ids} }

// Client is the connection with the id.
func (c Clients) Client(id string) Client { return Client{c.hub, id} }

// Clients is the connections with these ids.
func (c Clients) Clients(ids ...string) Receivers {
	return Receivers{hub: c.hub, set: connections, names: ids}
}

// Group is the members of a group.
func (c Clients) Group(name string) Receivers { return c.Groups(name) }

// GroupExcept is the members of a group but the connections with these ids.
func (c Clients) GroupExcept(name string, ids ...string) Receivers {
	return Receivers{hub: c.hub, set: groups, names: []string{name}, except: ids}
}

// Groups is the members of all these groups. Who is in several gets one copy.
func (c Clients) Groups(names ...string) Receivers {
	return Receivers{hub: c.hub, set: groups, names: names}
}

// User is all connections of a user; see [Identity].
func (c Clients) User(name string) Receivers { return c.Users(name) }

// Users is all connections of these users.
func (c Clients) Users(names ...string) Receivers {
	return Receivers{hub: c.hub, set: users, names: names}
}

// Caller is who has called.
func (c CallerClients) Caller() Client { return Client{c.hub, c.id} }

// Others is all but the caller.
func (c CallerClients) Others() Receivers { return c.AllExcept(c.id) }

// OthersInGroup is the members of a group but the caller.
func (c CallerClients) OthersInGroup(name string) Receivers { return c.GroupExcept(name, c.id) }

// Client is one connection, which can be sent to, and asked: see [Invoke].
type Client struct {
	hub *Hub
	id  string
}

// ConnectionID returns the connection's id.
func (c Client) ConnectionID() string { return c.id }

// Send calls a method of the client, without an answer. .NET and Java clients want its
// name in their spelling, and the number of arguments that they expect. It returns
// [ErrNoConnection] if there is no such connection, ErrClosed if it is ending, and
// errors of wsmanager's Conn.Send.
func (c Client) Send(method string, args ...any) error {
	cn := c.hub.find(c.id)
	if cn == nil {
		return ErrNoConnection
	}
	e := &event{hub: c.hub, method: method, args: args}
	data, err := e.encoded(cn.variant)
	if err != nil {
		return err
	}
	return cn.post(data)
}

// Disconnect ends the connection, as [Context.Abort] does. It returns
// ErrNoConnection if there is none.
func (c Client) Disconnect() error {
	cn := c.hub.find(c.id)
	if cn == nil {
		return ErrNoConnection
	}
	cn.close(&Close{}, wsmanager.StatusNormalClosure, ErrAborted)
	return nil
}

// Send calls a method of all of them, without an answer; see [Client.Send].
func (r Receivers) Send(method string, args ...any) error {
	e := &event{hub: r.hub, method: method, args: args}
	switch r.set {
	case everybody:
		e.broadcast(r.except)
	case connections:
		for _, id := range r.names {
			if c := r.hub.find(id); c != nil {
				e.post(c)
			}
		}
	case users:
		for _, name := range r.names {
			r.hub.plain.User(name).BroadcastPrepared(e.prepared())
		}
	case groups:
		e.toGroups(r.names, r.except)
	}
	for c := range r.hub.kept.members(r) {
		e.post(c)
	}
	return errors.Join(e.errs[:]...)
}

// event is a call of clients' methods, encoded for each protocol when the first
// receiver speaks it. It belongs to one goroutine.
type event struct {
	hub    *Hub
	method string
	args   []any

	data [wsmanager.MaxVariants][]byte
	errs [wsmanager.MaxVariants]error
	p    *wsmanager.Prepared
}

func (e *event) encoded(v wsmanager.Variant) ([]byte, error) {
	if e.data[v] == nil && e.errs[v] == nil {
		e.data[v], e.errs[v] = encodeInvocation(e.hub.opts.Protocols[v], "", e.method, e.args)
	}
	return e.data[v], e.errs[v]
}

// prepared is the event for the Manager's broadcasts, which encode on the goroutine of
// the first send.
func (e *event) prepared() *wsmanager.Prepared {
	if e.p == nil {
		e.p = wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
			data, err := e.encoded(v)
			return wsmanager.Message{Type: e.hub.opts.Protocols[v].MessageType(), Payload: data}, err
		})
	}
	return e.p
}

func (e *event) post(c *conn) {
	if data, err := e.encoded(c.variant); err == nil {
		_ = c.post(data) // a receiver of many that can't be reached is nobody's error
	}
}

func (e *event) broadcast(except []string) {
	e.hub.plain.BroadcastPreparedExcept(e.prepared(), e.hub.sockets(except)...)
}

func (e *event) toGroups(names, except []string) {
	if len(names) == 1 {
		e.hub.plain.Group(names[0]).BroadcastPreparedExcept(e.prepared(), e.hub.sockets(except)...)
		return
	}
	seen := make(map[*wsmanager.Conn]bool)
	for _, name := range names {
		e.hub.plain.Group(name).BroadcastPreparedFunc(e.prepared(), func(ws *wsmanager.Conn) bool {
			first := !seen[ws]
			seen[ws] = true
			return first
		})
	}
}

// sockets returns the Manager's ids of connections.
func (h *Hub) sockets(ids []string) []string {
	var out []string
	for _, id := range ids {
		if c := h.find(id); c != nil {
			if ws := c.socket.Load(); ws != nil {
				out = append(out, ws.ID())
			}
		}
	}
	return out
}

// encodeInvocation makes the record of a call.
func encodeInvocation(p Protocol, id, method string, args []any) ([]byte, error) {
	inv := &Invocation{ID: id, Target: method, Arguments: make([]Raw, len(args))}
	for i, a := range args {
		raw, err := p.Encode(a)
		if err != nil {
			return nil, fmt.Errorf("hub: argument %d of %q: %w", i+1, method, err)
		}
		inv.Arguments[i] = raw
	}
	return p.Append(nil, inv)
}

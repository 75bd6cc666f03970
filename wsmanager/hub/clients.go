package hub

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Clients selects the connections of a hub that a message is sent to.
//
// A message for several connections is encoded once for each protocol. Sends do not wait: Options.WebSocket.SlowConsumer
// decides about clients that read too slowly.
//
// Sends to each selection return an error if the message cannot be sent to receivers, with these causes: the arguments
// cannot be encoded, wsmanager.ErrMessageTooBig (see Options.MaxSendSize), wsmanager.ErrInvalidUTF8, wsmanager.ErrMessageType (of the protocol), and other causes
// of wsmanager's Sent.Err. The receivers with another protocol, in which the message can be sent, get it. A protocol that
// no receiver uses is not an error. A receiver of several that is closing, or reads too slowly, is not an error either.
type Clients struct{ hub *Hub }

// Clients returns the clients of the hub, for sends outside of calls.
func (h *Hub) Clients() Clients { return Clients{h} }

// CallerClients is Clients with the selections that are relative to the caller of a method.
type CallerClients struct {
	Clients
	id string
}

// Receivers is a selection of connections. It is a value. Each send selects the connections anew.
type Receivers struct {
	hub      *Hub
	selector selector
	names    []string
	except   []string
}

// selector is how Receivers select connections.
type selector uint8

const (
	allConnections selector = iota
	byConnection
	byGroup
	byUser
)

// All selects all connections.
func (c Clients) All() Receivers { return Receivers{hub: c.hub} }

// AllExcept selects all connections except those with these ids.
func (c Clients) AllExcept(ids ...string) Receivers { return Receivers{hub: c.hub, except: ids} }

// Client selects the connection with this id.
func (c Clients) Client(id string) Client { return Client{c.hub, id} }

// Connections selects the connections with these ids.
func (c Clients) Connections(ids ...string) Receivers {
	return Receivers{hub: c.hub, selector: byConnection, names: ids}
}

// Group selects the members of a group.
func (c Clients) Group(name string) Receivers { return c.Groups(name) }

// GroupExcept selects the members of a group except the connections with these ids.
func (c Clients) GroupExcept(name string, ids ...string) Receivers {
	return Receivers{hub: c.hub, selector: byGroup, names: []string{name}, except: ids}
}

// Groups selects the members of all these groups. A member of several groups gets one copy.
func (c Clients) Groups(names ...string) Receivers {
	return Receivers{hub: c.hub, selector: byGroup, names: names}
}

// User selects all connections of a user; see [Identity].
func (c Clients) User(name string) Receivers { return c.Users(name) }

// Users selects all connections of these users.
func (c Clients) Users(names ...string) Receivers {
	return Receivers{hub: c.hub, selector: byUser, names: names}
}

// Caller selects the caller's connection.
func (c CallerClients) Caller() Client { return Client{c.hub, c.id} }

// Others selects all connections except the caller's.
func (c CallerClients) Others() Receivers { return c.AllExcept(c.id) }

// OthersInGroup selects the members of a group except the caller's connection.
func (c CallerClients) OthersInGroup(name string) Receivers { return c.GroupExcept(name, c.id) }

// Client is one connection. Besides Send, [Invoke] calls its methods.
type Client struct {
	hub *Hub
	id  string
}

// ConnectionID returns the connection's id.
func (c Client) ConnectionID() string { return c.id }

// Send calls a method of the client without waiting for an answer. Clients in .NET and Java need the exact case of the
// name and the exact number of arguments. It returns [ErrNoConnection] if there is no such connection, ErrClosed if it is
// closing, and errors of wsmanager's Conn.Send.
func (c Client) Send(method string, args ...any) error {
	cn := c.hub.find(c.id)
	if cn == nil {
		return ErrNoConnection
	}
	e := &event{hub: c.hub, method: method, args: args}
	record, err := e.encoded(cn.variant)
	if err != nil {
		return err
	}
	return cn.session.post(record)
}

// Disconnect ends the connection like [Context.Abort]. It returns ErrNoConnection if there is no such connection.
func (c Client) Disconnect() error {
	cn := c.hub.find(c.id)
	if cn == nil {
		return ErrNoConnection
	}
	cn.close(&Close{}, wsmanager.StatusNormalClosure, ErrAborted)
	return nil
}

// Send calls a method of all receivers without waiting for an answer; see [Client.Send]. For its errors see [Clients].
func (r Receivers) Send(method string, args ...any) error {
	e := &event{hub: r.hub, method: method, args: args}
	var sent wsmanager.Sent
	switch r.selector {
	case allConnections:
		sent = e.broadcast(r.except)
	case byConnection:
		for _, id := range r.names {
			if c := r.hub.find(id); c != nil {
				e.post(c)
			}
		}
	case byUser:
		sent = r.hub.manager.Users(r.names...).SendPrepared(e.prepared())
	case byGroup:
		sent = e.toGroups(r.names, r.except)
	}
	return e.result(sent)
}

// event is a call of a client method. It is encoded for a protocol when the first receiver needs that. It belongs to one
// goroutine.
type event struct {
	hub    *Hub
	method string
	args   []any

	records [wsmanager.MaxVariants][]byte
	errs    [wsmanager.MaxVariants]error
	p       *wsmanager.Prepared
}

func (e *event) encoded(v wsmanager.Variant) ([]byte, error) {
	if e.records[v] == nil && e.errs[v] == nil {
		p := e.hub.opts.Protocols[v]
		record, err := encodeInvocation(p, "", e.method, e.args)
		if err == nil {
			err = checkSendable(p, record, e.hub.opts.MaxSendSize)
		}
		e.records[v], e.errs[v] = record, err
	}
	if e.errs[v] != nil {
		return nil, e.errs[v]
	}
	return e.records[v], nil
}

// checkSendable returns why no connection can send a record, or nil. wsmanager checks less in a send to one connection
// than in a broadcast, and nothing between two sockets of a stateful connection.
func checkSendable(p Protocol, record []byte, limit int) error {
	t := p.MessageType()
	if t != wsmanager.TextMessage && t != wsmanager.BinaryMessage {
		return wsmanager.ErrMessageType
	}
	if err := checkSize(p, record, limit); err != nil {
		return err
	}
	if t == wsmanager.TextMessage && !utf8.Valid(record) {
		return wsmanager.ErrInvalidUTF8
	}
	return nil
}

// result joins the causes for which receivers do not get the event, each once.
func (e *event) result(sent wsmanager.Sent) error {
	var causes error
	fromEncoding := false
	for _, err := range e.errs {
		if err == nil {
			continue
		}
		fromEncoding = fromEncoding || errors.Is(sent.Err, err)
		causes = errors.Join(causes, err)
	}
	if sent.Err != nil && !fromEncoding {
		causes = errors.Join(causes, sent.Err)
	}
	return causes
}

// prepared makes the event for the Manager's broadcasts, which encode on the goroutine of the first send.
func (e *event) prepared() *wsmanager.Prepared {
	if e.p == nil {
		e.p = wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
			record, err := e.encoded(v)
			return wsmanager.Message{Type: e.hub.opts.Protocols[v].MessageType(), Payload: record}, err
		})
	}
	return e.p
}

func (e *event) post(c *conn) {
	if record, err := e.encoded(c.variant); err == nil {
		_ = c.session.post(record) // a receiver that cannot be reached does not fail the send to the others
	}
}

func (e *event) broadcast(except []string) wsmanager.Sent {
	return e.hub.manager.All().Except(e.hub.memberIDs(except)...).SendPrepared(e.prepared())
}

func (e *event) toGroups(names, except []string) wsmanager.Sent {
	return e.hub.manager.Groups(names...).Except(e.hub.memberIDs(except)...).SendPrepared(e.prepared())
}

// memberIDs returns the ids that the Manager uses for these connections.
func (h *Hub) memberIDs(ids []string) []string {
	var out []string
	for _, id := range ids {
		if c := h.find(id); c != nil {
			out = append(out, c.member().ID())
		}
	}
	return out
}

// encodeInvocation encodes the record of a call.
func encodeInvocation(p Protocol, id, method string, args []any) ([]byte, error) {
	inv := &Invocation{ID: id, Target: method, Arguments: make([]Raw, len(args))}
	for i, a := range args {
		raw, err := encodeArgument(p, i, method, a)
		if err != nil {
			return nil, err
		}
		inv.Arguments[i] = raw
	}
	return p.Append(nil, inv)
}

func encodeArgument(p Protocol, i int, method string, arg any) (Raw, error) {
	raw, err := p.Encode(arg)
	if err != nil {
		return nil, fmt.Errorf("hub: encoding argument %d of %q: %w", i+1, method, err)
	}
	return raw, nil
}

package hub

import (
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/token"
)

// ticket is a negotiated connection, as the token of its client describes it.
type ticket struct {
	token.Token
	id string // of the connection; other clients may know it
}

// tickets makes and checks the tokens of negotiations, and knows the connections that they have begun.
type tickets struct {
	sealer *token.Sealer
	record *token.Record[*conn]
}

func newTickets(o *Options) tickets {
	return tickets{token.NewSealer(o.Keys), token.NewRecord[*conn](o.NegotiationTimeout, o.MaxNegotiations)}
}

// issue makes a token and the id of the connection that it may begin. In negotiation version 0 they are the same.
func (t *tickets) issue(user string, version int, stateful bool) (text, id string) {
	k := token.New(user, time.Now())
	k.Stateful, k.Version0 = stateful, version == 0
	text = t.sealer.Seal(k)
	if k.Version0 {
		return text, text
	}
	return text, k.ID.String()
}

// open returns the ticket of a token, or nil if the token is not genuine.
func (t *tickets) open(text string) *ticket {
	k := t.sealer.Open(text)
	if k == nil {
		return nil
	}
	id := text
	if !k.Version0 {
		id = k.ID.String()
	}
	return &ticket{*k, id}
}

// find returns the ticket of a token if it has a connection or may begin one, or nil.
func (t *tickets) find(text string) *ticket {
	k := t.open(text)
	if k == nil {
		return nil
	}
	if _, state := t.record.Find(&k.Token, time.Now()); state == token.Invalid {
		return nil
	}
	return k
}

// claim returns the state of a ticket, and its connection if it has one. If it is fresh, the caller makes the connection.
func (t *tickets) claim(k *ticket) (*conn, token.State) { return t.record.Claim(&k.Token, time.Now()) }

// used notes that the ticket's connection was made. The token then lasts as long as the connection. It returns token.Fresh, or
// why it has no effect: see token.Record.Connect.
func (t *tickets) used(k *ticket, c *conn) (other *conn, s token.State) {
	if k == nil {
		return nil, token.Fresh
	}
	return t.record.Connect(&k.Token, c)
}

// replace gives a ticket another connection.
func (t *tickets) replace(k *ticket, c *conn) { t.record.Replace(&k.Token, c) }

// release lets a ticket begin another connection, unless it has one.
func (t *tickets) release(k *ticket, c *conn) { t.record.Release(&k.Token, c) }

// remove makes a ticket's token invalid.
func (t *tickets) remove(k *ticket) {
	if k != nil {
		t.record.End(&k.Token, time.Now())
	}
}

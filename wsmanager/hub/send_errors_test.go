package hub_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// unsendable has, by name, arguments of an event that no connection can get, and why.
var unsendable = map[string]struct {
	arg  any
	want error
}{
	"too big":       {strings.Repeat("x", 2<<20), wsmanager.ErrMessageTooBig},
	"invalid UTF-8": {json.RawMessage("\"\xff\""), wsmanager.ErrInvalidUTF8},
}

// A send whose message cannot be sent returns the cause, for each selection of receivers, and none of them gets
// anything.
func TestSendsReturnTheCause(t *testing.T) { onEachDriver(t, testSendsReturnTheCause) }

func testSendsReturnTheCause(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateful %v", stateful), func(t *testing.T) {
			send := make(chan func(*hub.Context) error, 1)
			results := make(chan error, 1)
			h, url := serve(t, hub.Methods{"Do": func(ctx *hub.Context) { results <- (<-send)(ctx) }},
				hub.Options{Authenticate: named, StatefulReconnect: stateful})
			k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true&user=ann")
			p := dial(t, url+"?id="+k.ConnectionToken+"&user=ann")
			p.noAcks = true
			p.send(fmt.Sprintf(`{"protocol":"json","version":%d}`, map[bool]int{false: 1, true: 2}[stateful]))
			p.expect(`{}`)
			require.Eventually(t, func() bool { return h.Len() == 1 }, wstest.Patience, 1e6)
			id := k.ConnectionID
			require.NoError(t, h.Join(id, "g"))

			all := h.Clients()
			for name, receiver := range map[string]interface {
				Send(method string, args ...any) error
			}{
				"all": all.All(), "all except": all.AllExcept("unknown"), "client": all.Client(id), "connections": all.Connections(id, "unknown"),
				"group": all.Group("g"), "group except": all.GroupExcept("g", "unknown"), "groups": all.Groups("g", "none"),
				"user": all.User("ann"), "users": all.Users("ann", "bob"),
			} {
				for why, tt := range unsendable {
					require.ErrorIs(t, receiver.Send("say", tt.arg), tt.want, name+", "+why)
				}
			}
			p.send(invocation("1", "Do"))
			send <- func(ctx *hub.Context) error { return ctx.Clients().Caller().Send("say", strings.Repeat("x", 2<<20)) }
			require.ErrorIs(t, <-results, wsmanager.ErrMessageTooBig)
			p.expect(`{"type":3,"invocationId":"1"}`)
			require.NoError(t, all.Client(id).Send("say", "x"))
			p.expect(`{"type":1,"target":"say","arguments":["x"]}`)
		})
	}
}

// bloated is a protocol whose records are long.
type bloated struct{ hub.Protocol }

func (bloated) Name() string { return "bloated" }

func (b bloated) Append(dst []byte, m hub.Message) ([]byte, error) {
	if _, ok := m.(*hub.Invocation); ok {
		dst = append(dst, bytes.Repeat([]byte(" "), 2<<20)...)
	}
	return b.Protocol.Append(dst, m)
}

// mistyped is a protocol whose events have a type of message that does not exist.
type mistyped struct {
	hub.Protocol
	broken *atomic.Bool
}

func (mistyped) Name() string { return "mistyped" }

func (m mistyped) MessageType() wsmanager.MessageType {
	if m.broken.Load() {
		return 7
	}
	return wsmanager.TextMessage
}

// If a message cannot be sent in one protocol, receivers with the other protocol get it, and the send returns the cause.
func TestSendFailsForOneProtocol(t *testing.T) {
	var broken atomic.Bool
	h, url := serve(t, nil, hub.Options{Protocols: []hub.Protocol{hub.JSON(), bloated{hub.JSON()}, mistyped{hub.JSON(), &broken}}})
	json := connect(t, url)
	require.Eventually(t, func() bool { return h.Len() == 1 }, wstest.Patience, 1e6)
	require.NoError(t, h.Clients().All().Send("say", "x"), "no receiver has the other protocols")
	json.expect(`{"type":1,"target":"say","arguments":["x"]}`)
	for i, name := range []string{"bloated", "mistyped"} {
		p := dial(t, url)
		p.send(`{"protocol":"` + name + `","version":1}`)
		p.expect(`{}`)
		require.Eventually(t, func() bool { return h.Len() == i+2 }, wstest.Patience, 1e6)
	}
	broken.Store(true)
	err := h.Clients().All().Send("say", "x")
	require.ErrorIs(t, err, wsmanager.ErrMessageTooBig)
	require.ErrorIs(t, err, wsmanager.ErrMessageType)
	require.Equal(t, wsmanager.ErrMessageTooBig.Error()+"\n"+wsmanager.ErrMessageType.Error(), err.Error(), "each cause once")
	json.expect(`{"type":1,"target":"say","arguments":["x"]}`)
	broken.Store(false)
}

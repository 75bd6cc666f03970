package hubtest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/hubtest"
)

// The limits of the hub count for a client in a test: messages up to MaxSendSize arrive, and bigger ones are errors.
func TestSizes(t *testing.T) {
	const limit = 3_000_000
	text := strings.Repeat("x", limit-len(`{"type":1,"target":"say","arguments":[""]}`))
	for _, stateful := range []bool{false, true} {
		h := hub.MustNew(hub.Methods{"Result": func(n int) string { return strings.Repeat("x", n) }},
			hub.Options{MaxSendSize: limit, StatefulReconnect: true})
		c := hubtest.Connect(t, h, hubtest.Options{Stateful: stateful})
		for name, send := range map[string]func(method string, args ...any) error{
			"all": h.Clients().All().Send, "client": h.Clients().Client(c.ID()).Send, "connections": h.Clients().Connections(c.ID()).Send,
		} {
			if err := send("say", text+"x"); !errors.Is(err, wsmanager.ErrMessageTooBig) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := h.Clients().Client(c.ID()).Send("say", "before"); err != nil {
			t.Error(err)
		}
		c.Expect("say", "before")
		if n := len(hubtest.Invoke[string](c, "Result", limit-100)); n != limit-100 {
			t.Errorf("%d bytes arrived", n)
		}
		if text := c.CallFails("Result", limit); !strings.Contains(text, "unexpected error") {
			t.Error(text)
		}
	}
}

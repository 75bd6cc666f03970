package msgpack_test

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

// contentSize returns the size of an event without its framing.
func contentSize(t *testing.T, p hub.Protocol, text string) int {
	t.Helper()
	raw, err := p.Encode(text)
	require.NoError(t, err)
	record, err := p.Append(nil, &hub.Invocation{Target: "say", Arguments: []hub.Raw{raw}})
	require.NoError(t, err)
	content, _, err := p.Cut(record, len(record))
	require.NoError(t, err)
	return len(content)
}

// In a group with clients of both protocols an event may be too big for one of them. The others get it, and the send returns
// the cause.
func TestSizesOfBothProtocols(t *testing.T) {
	json := hub.JSON()
	for name, text := range map[string]string{
		"ascii": strings.Repeat("x", 2000), "UTF-8": strings.Repeat("é日𝄞", 300), "escapes": strings.Repeat("\"\\\n\x01", 500),
	} {
		sizes := []int{contentSize(t, json, text), contentSize(t, protocol, text)}
		for _, limit := range []int{sizes[0], sizes[1], max(sizes[0], sizes[1]) - 1, min(sizes[0], sizes[1]) - 1} {
			events := []chan string{make(chan string, 1), make(chan string, 1)}
			h, url := serve(t, hub.Methods{"Void": func() {}}, hub.Options{MaxSendSize: limit, Connected: func(ctx *hub.Context) error { return ctx.Join("g") }})
			for i, p := range []hub.Protocol{json, msgpack.New(msgpack.Options{})} {
				c, err := hub.Dial(t.Context(), url, hub.DialOptions{Protocol: p, Logger: slog.New(slog.DiscardHandler), Handlers: hub.Methods{"say": func(s string) { events[i] <- s }}})
				require.NoError(t, err)
				defer c.Close()
				require.NoError(t, c.Call(t.Context(), "Void")) // is answered after Connected
			}
			err := h.Clients().Group("g").Send("say", text)
			require.Equal(t, sizes[0] > limit || sizes[1] > limit, err != nil, name)
			if err != nil {
				require.ErrorIs(t, err, wsmanager.ErrMessageTooBig, name)
			}
			require.NoError(t, h.Clients().Group("g").Send("say", "end"))
			for i, size := range sizes {
				if size <= limit {
					require.Equal(t, text, <-events[i], name)
				}
				require.Equal(t, "end", <-events[i], name)
			}
		}
	}
}

// The estimate of a value's size recurses into it. The nesting of a hostile value does not make it take the stack, whose overflow
// would end the process.
func TestDecodedSizeOfDeepValue(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x91}, 1<<20), 0xc0)
	require.Zero(t, protocol.(hub.DecodedSizer).DecodedSize(deep, reflect.TypeFor[any]()))
}

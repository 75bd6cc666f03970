package wsmanager_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// invalidTexts are texts that are not valid UTF-8, and what InvalidUTF8Replace makes of them.
var invalidTexts = map[string]struct{ text, replaced string }{
	"Latin-1":            {"caf\xe9", "caf\ufffd"},
	"cut in a character": {"5 \u20ac"[:4], "5 \ufffd"},
	"a run":              {"a\xff\xfe\xfdb\xc0", "a\ufffdb\ufffd"},
	"a surrogate":        {"\xed\xa0\x80!", "\ufffd!"},
	"only invalid bytes": {"\x80", "\ufffd"},
	"after 1 KiB":        {repeat("x", 1024) + "\xf5", repeat("x", 1024) + "\ufffd"},
}

// sends are all ways to send a text to one connection.
var sends = map[string]func(c *wsmanager.Conn, text string) error{
	"Send": func(c *wsmanager.Conn, text string) error { return c.Send(wsmanager.Text(text)) },
	"SendContext": func(c *wsmanager.Conn, text string) error {
		return c.SendContext(context.Background(), wsmanager.Text(text))
	},
	"SendPrepared": func(c *wsmanager.Conn, text string) error {
		return c.SendPrepared(wsmanager.Prepare(wsmanager.Text(text)))
	},
	"SendPreparedContext": func(c *wsmanager.Conn, text string) error {
		return c.SendPreparedContext(context.Background(), wsmanager.Prepare(wsmanager.Text(text)))
	},
	"SendPrepared of a PrepareFunc": func(c *wsmanager.Conn, text string) error {
		return c.SendPrepared(wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { return wsmanager.Text(text), nil }))
	},
	"Manager.Send": func(c *wsmanager.Conn, text string) error { return c.Manager().Send(c.ID(), wsmanager.Text(text)) },
	"Broadcast":    func(c *wsmanager.Conn, text string) error { return c.Manager().Broadcast(wsmanager.Text(text)).Err },
	"a group": func(c *wsmanager.Conn, text string) error {
		return c.Manager().Group("g").Send(wsmanager.Text(text)).Err
	},
	"groups": func(c *wsmanager.Conn, text string) error {
		return c.Manager().Groups("g", "h").Send(wsmanager.Text(text)).Err
	},
	"an id": func(c *wsmanager.Conn, text string) error {
		return c.Manager().Conns(c.ID()).Send(wsmanager.Text(text)).Err
	},
}

// By default no send delivers an invalid text, and the connection stays open.
func TestInvalidTextIsRejected(t *testing.T) { onEachDriverAtOnce(t, testInvalidTextIsRejected) }

func testInvalidTextIsRejected(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": "group=g"})
	for name, send := range sends {
		for text, tt := range invalidTexts {
			require.ErrorIs(t, send(r.conns["ann"], tt.text), wsmanager.ErrInvalidUTF8, "%s: %s", name, text)
		}
		require.NoError(t, send(r.conns["ann"], "\u00e9\u20ac\U0001f600"))
	}
	require.ErrorIs(t, r.conns["ann"].CloseWith(wsmanager.Text("\xff"), 1000, ""), wsmanager.ErrInvalidUTF8)
	require.ErrorIs(t, r.conns["ann"].SendJSON(json.RawMessage("\"\xff\"")), wsmanager.ErrInvalidUTF8)
	require.ErrorIs(t, r.m.All().SendJSON(json.RawMessage("\"\xff\"")).Err, wsmanager.ErrInvalidUTF8)
	require.Len(t, r.messagesUpToMark()["ann"], len(sends), "the valid ones")
	require.NoError(t, r.conns["ann"].Send(wsmanager.Binary([]byte{0xff})), "binary is not text")
	r.clients["ann"].ExpectBinary([]byte{0xff})
}

// With InvalidUTF8Replace each send delivers the text with U+FFFD, and the payload of the
// caller stays as it was.
func TestInvalidTextIsReplaced(t *testing.T) { onEachDriverAtOnce(t, testInvalidTextIsReplaced) }

func testInvalidTextIsReplaced(t *testing.T) {
	opts := optionsWithoutLog()
	opts.InvalidUTF8 = wsmanager.InvalidUTF8Replace
	r := newRoom(t, opts, map[string]string{"ann": "group=g"})
	for name, send := range sends {
		for text, tt := range invalidTexts {
			require.NoError(t, send(r.conns["ann"], tt.text), "%s: %s", name, text)
			require.Equal(t, []string{tt.replaced}, r.messagesUpToMark()["ann"], "%s: %s", name, text)
		}
	}
	payload := []byte("caf\xe9")
	p := wsmanager.Prepare(wsmanager.Message{Type: wsmanager.TextMessage, Payload: payload})
	require.NoError(t, r.conns["ann"].Send(wsmanager.Message{Type: wsmanager.TextMessage, Payload: payload}))
	require.Equal(t, "caf\xe9", string(payload))
	require.NoError(t, r.conns["ann"].SendJSON(json.RawMessage("\"\xff\"")))
	require.NoError(t, r.m.All().SendJSON(json.RawMessage("\"\xff\"")).Err)
	require.Equal(t, wsmanager.Sent{Queued: 1}, r.m.All().SendPrepared(p))
	require.Equal(t, []string{"caf\ufffd", "\"\ufffd\"", "\"\ufffd\"", "caf\ufffd"}, r.messagesUpToMark()["ann"])

	require.NoError(t, r.conns["ann"].Send(wsmanager.Binary(payload)), "binary is not text")
	r.clients["ann"].ExpectBinary(payload)

	// One Prepared serves Managers of both policies.
	strict := newRoom(t, optionsWithoutLog(), map[string]string{"bob": ""})
	require.Equal(t, wsmanager.Sent{Dropped: 1, Err: wsmanager.ErrInvalidUTF8}, strict.m.All().SendPrepared(p))

	require.NoError(t, r.conns["ann"].CloseWith(wsmanager.Text("bye\xff"), 1000, "caf\xe9"))
	require.Equal(t, "bye\ufffd", r.clients["ann"].Text())
	require.Equal(t, "caf\ufffd", r.clients["ann"].ExpectClose(1000))
}

// The replacements count: a text that becomes too big is not sent.
func TestReplacedTextIsTooBig(t *testing.T) { onEachDriverAtOnce(t, testReplacedTextIsTooBig) }

func testReplacedTextIsTooBig(t *testing.T) {
	opts := optionsWithoutLog()
	opts.InvalidUTF8 = wsmanager.InvalidUTF8Replace
	opts.Limits.MaxMessageSize, opts.Outbox.Bytes = 100, 1000
	r := newRoom(t, opts, map[string]string{"ann": "group=g"})
	fits, grows := repeat("a\xff", 240), repeat("a\xff", 260) // twice as long with the replacements
	for name, send := range sends {
		written := r.m.Stats().MessagesOut
		require.NoError(t, send(r.conns["ann"], fits), name)
		require.Equal(t, []string{repeat("a\ufffd", 240)}, r.messagesUpToMark()["ann"], name)
		awaitCondition(t, func() bool { return r.m.Stats().MessagesOut == written+2 }) // then the outbox is empty
		require.ErrorIs(t, send(r.conns["ann"], grows), wsmanager.ErrMessageTooBig, name)
	}
	require.Empty(t, r.messagesUpToMark())
}

// A compressed broadcast is compressed after the replacement.
func TestReplacedTextIsCompressed(t *testing.T) { onEachDriverAtOnce(t, testReplacedTextIsCompressed) }

func testReplacedTextIsCompressed(t *testing.T) {
	opts := optionsWithoutLog()
	opts.InvalidUTF8 = wsmanager.InvalidUTF8Replace
	opts.Compression.Enabled = true
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	zipped, plain := dialOver(t, url, offering), dialOver(t, url, nil)
	awaitCondition(t, func() bool { return m.All().Len() == 2 })
	text, want := repeat("caf\xe9 ", 1000), repeat("caf\ufffd ", 1000)
	p := wsmanager.Prepare(wsmanager.Text(text))
	for range 2 {
		require.Equal(t, wsmanager.Sent{Queued: 2}, m.All().SendPrepared(p))
		require.Equal(t, want, zipped.Text())
		require.Equal(t, want, plain.Text())
	}
	require.EqualValues(t, 1, m.Stats().Compressed.Out)
	for c := range m.All().Local() {
		require.NoError(t, c.Send(wsmanager.Text(text)))
	}
	require.Equal(t, want, zipped.Text())
	require.Equal(t, want, plain.Text())
}

// The reasons of closes follow the same policy. One that would become too long is shortened,
// at the end of a character.
func TestInvalidCloseReasons(t *testing.T) { onEachDriverAtOnce(t, testInvalidCloseReasons) }

func testInvalidCloseReasons(t *testing.T) {
	long := strings.Repeat("\u00e9", 62)[:123] // cut in the last character
	for name, tt := range map[string]struct{ reason, replaced string }{
		"Latin-1":             {"caf\xe9", "caf\ufffd"},
		"cut at the limit":    {long, strings.Repeat("\u00e9", 61)},
		"replaced and longer": {repeat("x", 119) + "\xff\u00e9", repeat("x", 119) + "\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			require.True(t, utf8.ValidString(tt.replaced))
			for policy, want := range map[wsmanager.InvalidUTF8]string{wsmanager.InvalidUTF8Reject: "", wsmanager.InvalidUTF8Replace: tt.replaced} {
				ended := make(chan error, 10)
				opts := optionsWithoutLog()
				opts.InvalidUTF8 = policy
				m, url := serve(t, wsmanager.Callbacks{
					OnMessage: func(*wsmanager.Conn, wsmanager.Message) error {
						return &wsmanager.CloseError{Code: 4000, Reason: tt.reason}
					},
					OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
				}, opts, nil)
				for way, closing := range map[string]func() error{
					"Conn":     func() error { return onlyConn(t, m).Close(4000, tt.reason) },
					"Audience": func() error { return m.All().Close(4000, tt.reason) },
				} {
					c := dialOver(t, url, nil)
					awaitCondition(t, func() bool { return m.All().Len() == 1 })
					if policy == wsmanager.InvalidUTF8Reject {
						require.ErrorContains(t, closing(), "the reason is not valid UTF-8", way)
						require.NoError(t, m.All().Close(4000, want))
					} else {
						require.NoError(t, closing(), way)
					}
					require.Equal(t, want, c.ExpectClose(4000), way)
					var ce *wsmanager.CloseError
					require.ErrorAs(t, receive(t, ended), &ce)
					require.Equal(t, want, ce.Reason)
					awaitCondition(t, func() bool { return m.All().Len() == 0 })
				}
				c := dialOver(t, url, nil)
				c.SendText("x")
				if policy == wsmanager.InvalidUTF8Reject {
					require.Empty(t, c.ExpectClose(1011))
				} else {
					require.Equal(t, want, c.ExpectClose(4000))
				}
				require.Error(t, receive(t, ended))
			}
		})
	}
}

// A client checks the texts that it sends, also those that wait for the next connection.
func TestClientOfInvalidTexts(t *testing.T) { onSocketDriversAtOnce(t, testClientOfInvalidTexts) }

func testClientOfInvalidTexts(t *testing.T) {
	for policy, want := range map[wsmanager.InvalidUTF8]error{wsmanager.InvalidUTF8Reject: wsmanager.ErrInvalidUTF8, wsmanager.InvalidUTF8Replace: nil} {
		got := make(chan string, 10)
		opts := optionsWithoutLog()
		opts.Compression.Enabled = true
		_, url := serve(t, wsmanager.Callbacks{OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
			got <- string(m.Payload)
			return nil
		}}, opts, nil)
		dial := dialOptions(opts)
		dial.InvalidUTF8 = policy
		c, err := dialAs(t.Context(), t, url, wsmanager.Callbacks{}, dial)
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Manager().Shutdown(t.Context())) }()
		cl, err := newClientAs(t, url, wsmanager.Callbacks{}, clientOptionsWith(dial))
		require.NoError(t, err)
		long := repeat("caf\xe9 ", 1000) // long enough for compression
		sends := []func(string) error{
			func(text string) error { return c.Send(wsmanager.Text(text)) },
			func(text string) error { return c.SendPrepared(wsmanager.Prepare(wsmanager.Text(text))) },
			func(text string) error { return cl.Send(wsmanager.Text(text)) },
			func(text string) error { return cl.SendContext(t.Context(), wsmanager.Text(text)) },
			func(text string) error { return cl.SendPrepared(wsmanager.Prepare(wsmanager.Text(text))) },
		}
		for i, send := range sends {
			for _, text := range []string{"caf\xe9", long} {
				require.ErrorIs(t, send(text), want, "%v %d", policy, i)
			}
		}
		run := make(chan error, 1)
		go func() { run <- cl.Run(t.Context()) }()
		counts := map[string]int{}
		if want == nil {
			for range 2 * len(sends) {
				counts[receive(t, got)]++
			}
			require.Equal(t, map[string]int{"caf\ufffd": len(sends), string(bytes.ToValidUTF8([]byte(long), []byte("\ufffd"))): len(sends)}, counts)
			require.NoError(t, cl.Close(4000, "caf\xe9"))
		} else {
			require.Error(t, cl.Close(4000, "caf\xe9"))
			require.NoError(t, cl.Close(4000, ""))
		}
		require.NoError(t, receive(t, run))
		require.Empty(t, got)
	}
}

// clientOptionsWith is clientOptions for options that have a policy for invalid UTF-8.
func clientOptionsWith(dial wsmanager.DialOptions) wsmanager.ClientOptions {
	opts := clientOptions(dial, wsmanager.Reconnect{})
	opts.InvalidUTF8 = dial.InvalidUTF8
	return opts
}

func TestInvalidUTF8Options(t *testing.T) {
	opts := optionsWithoutLog()
	opts.InvalidUTF8 = 9
	_, err := wsmanager.New(wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, "Options.InvalidUTF8: 9 is not a policy")
	dial := dialOptionsWithoutLog()
	dial.InvalidUTF8 = 9
	_, err = wsmanager.NewDialer("ws://127.0.0.1", wsmanager.Callbacks{}, dial)
	require.ErrorContains(t, err, "DialOptions.InvalidUTF8: 9 is not a policy")
}

// Other nodes get the text of the sender's policy. An invalid text in an envelope of another
// node meets the receiver's policy: it closes no connection.
func TestInvalidTextsOfOtherNodes(t *testing.T) {
	for name, tt := range map[string]struct {
		sender, receiver wsmanager.InvalidUTF8
		corrupt          bool // a '#' of the envelope becomes an invalid byte on the way
		text             string
		err              error
		want             []string
	}{
		"rejected here":         {0, wsmanager.InvalidUTF8Replace, false, "caf\xe9", wsmanager.ErrInvalidUTF8, nil},
		"replaced here":         {wsmanager.InvalidUTF8Replace, 0, false, "caf\xe9", nil, []string{"caf\ufffd"}},
		"rejected by the other": {0, 0, true, "caf#", nil, nil},
		"replaced by the other": {0, wsmanager.InvalidUTF8Replace, true, "caf#", nil, []string{"caf\ufffd"}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := optionsWithoutLog()
			bus := &wsmanager.LocalBus{}
			opts.Backplane, opts.InvalidUTF8 = bus, tt.receiver
			r := newRoom(t, opts, map[string]string{"ann": "group=g"})
			opts.Backplane, opts.InvalidUTF8 = bus, tt.sender
			if tt.corrupt {
				opts.Backplane = corruptingBus{bus}
			}
			sender := newRoom(t, opts, nil).m
			require.NoError(t, r.m.FlushBackplane(t.Context()))
			msg := wsmanager.Text(tt.text)
			for way, err := range map[string]error{
				"Send":     sender.Send(r.id("ann"), msg),
				"Conns":    sender.Conns(r.id("ann")).Send(msg).Err,
				"All":      sender.All().Send(msg).Err,
				"Group":    sender.Group("g").Send(msg).Err,
				"Groups":   sender.Groups("g", "h").Send(msg).Err,
				"Prepared": sender.All().SendPrepared(wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { return msg, nil })).Err,
			} {
				if way != "Prepared" { // a PrepareFunc has an error for each variant
					require.ErrorIs(t, err, tt.err, way)
				}
			}
			require.NoError(t, sender.FlushBackplane(t.Context()))
			got := r.messagesUpToMark()["ann"]
			if tt.want == nil {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 6)
			for _, text := range got {
				require.Equal(t, tt.want, []string{text})
			}
		})
	}
}

// corruptingBus makes each '#' of a published envelope an invalid byte.
type corruptingBus struct{ *wsmanager.LocalBus }

func (b corruptingBus) Connect(ctx context.Context, n wsmanager.BackplaneNode) (wsmanager.BackplaneLink, error) {
	l, err := b.LocalBus.Connect(ctx, n)
	return corruptingLink{l}, err
}

type corruptingLink struct{ wsmanager.BackplaneLink }

func (l corruptingLink) Publish(ctx context.Context, topic string, p []byte) error {
	return l.BackplaneLink.Publish(ctx, topic, bytes.ReplaceAll(p, []byte("#"), []byte("\xe9")))
}

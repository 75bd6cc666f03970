package wsmanager_test

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// offering is the header of a client that offers compression.
var offering = http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate; client_max_window_bits"}}

// deflate compresses a message as a client does.
func deflate(t testing.TB, p []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(t, err)
	_, err = w.Write(p)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// inflate decompresses a message.
func inflate(t testing.TB, p []byte) []byte {
	t.Helper()
	out, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(p), bytes.NewReader([]byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))))
	require.NoError(t, err)
	return out
}

// compressedFrames returns the frames of a compressed message with at most size bytes each,
// or one frame if size is 0.
func compressedFrames(t testing.TB, op ws.OpCode, p []byte, level, size int) []byte {
	t.Helper()
	p = deflate(t, p, level)
	if size == 0 {
		size = len(p)
	}
	var out []byte
	for first := true; first || len(p) > 0; first = false {
		part := p[:min(size, len(p))]
		p = p[len(part):]
		f := wstest.Frame(op, len(p) == 0, part)
		if first {
			f[0] |= 0x40
		}
		out, op = append(out, f...), ws.OpContinuation
	}
	return out
}

// data has generators for n bytes of several kinds.
var data = []struct {
	name         string
	op           ws.OpCode
	compressible bool
	make         func(n int) []byte
}{
	{"JSON", ws.OpText, true, jsonText},
	{"text", ws.OpText, true, prose},
	{"picture", ws.OpBinary, true, picture},
	{"noise", ws.OpBinary, false, noise},
}

func jsonText(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var rows []map[string]any
	for len(rows) < n/80+1 {
		rows = append(rows, map[string]any{
			"id": rng.IntN(1e6), "name": fmt.Sprintf("user-%d", rng.IntN(1000)), "price": float64(rng.IntN(1e5)) / 100,
			"active": rng.IntN(2) == 0, "tags": []string{"a", "bé", "c"}[:rng.IntN(4)],
		})
	}
	text, err := json.Marshal(rows)
	if err != nil {
		panic(err)
	}
	return cutText(text, n)
}

func prose(n int) []byte {
	words := []string{"the", "Geist", "der", "stets", "verneint", "und", "das", "mit", "Recht", "—", "naïve", "coöperation", "日本"}
	rng := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[rng.IntN(len(words))])
		b.WriteByte(' ')
	}
	return cutText(b.Bytes(), n)
}

// cutText cuts a text to n bytes. Dots replace a character that was cut.
func cutText(p []byte, n int) []byte {
	whole := n
	for whole > 0 && whole < len(p) && !utf8.RuneStart(p[whole]) {
		whole--
	}
	return append(bytes.Clone(p[:whole]), bytes.Repeat([]byte{'.'}, n-whole)...)
}

func picture(n int) []byte {
	p := make([]byte, n)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range p {
		p[i] = byte(i/64%40) + byte(rng.IntN(4))
	}
	return p
}

func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

// sizes has the sizes of messages and of their frames in groups 12 and 13 of the Autobahn
// test suite. A frame size of 0 means one frame.
var sizes = []struct{ message, frame int }{
	{0, 0}, {16, 0}, {64, 0}, {256, 0}, {1 << 10, 0}, {4 << 10, 0}, {8 << 10, 0}, {16 << 10, 0}, {32 << 10, 0}, {64 << 10, 0}, {128 << 10, 0},
	{8 << 10, 256}, {16 << 10, 256}, {32 << 10, 256}, {64 << 10, 256}, {128 << 10, 256},
	{8 << 10, 1 << 10}, {128 << 10, 4 << 10}, {128 << 10, 64 << 10}, {1 << 10, 1},
}

func init() {
	if underRace { // inflating takes about 20 times as long with the race detector
		sizes = slices.DeleteFunc(sizes, func(s struct{ message, frame int }) bool { return s.message > 32<<10 })
	}
}

// requireEchoes sends messages of one kind in all sizes and reads the echoes. If compression was
// negotiated, it must be used wherever it saves bytes.
func requireEchoes(t *testing.T, c *wstest.Client, kind int, agreed bool) {
	t.Helper()
	d := data[kind]
	for _, size := range sizes {
		p := d.make(size.message)
		var sent []byte
		level := []int{1, 6, 9, flate.HuffmanOnly, flate.NoCompression}[(size.message/64+size.frame)%5]
		if agreed {
			sent = compressedFrames(t, d.op, p, level, size.frame)
		} else {
			sent = wstest.Frame(d.op, true, p)
		}
		for range 3 {
			done := make(chan error, 1)
			go func() { _, err := c.Conn().Write(sent); done <- err }()
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.NoError(t, <-done)
			require.Equal(t, d.op, f.Header.OpCode)
			require.True(t, f.Header.Fin)
			got := f.Payload
			if f.Header.Rsv1() {
				require.True(t, agreed)
				require.Less(t, len(got), len(p), "a message that does not shrink is sent plain")
				got = inflate(t, got)
			} else {
				require.False(t, agreed && d.compressible && len(p) >= 1024, "%s of %d bytes was sent plain", d.name, len(p))
			}
			require.True(t, bytes.Equal(p, got), "%s of %d bytes in frames of %d", d.name, size.message, size.frame)
		}
	}
}

func bigCompressing() wsmanager.Options {
	opts := compressing()
	opts.Limits.MaxMessageSize, opts.Outbox.Bytes = 128<<10, 8<<20
	return opts
}

// Group 12: kinds of data, sizes and fragmentations.
func TestCompressedEchoes(t *testing.T) { onEachDriver(t, testCompressedEchoes) }

func testCompressedEchoes(t *testing.T) {
	levels := []int{0, flate.HuffmanOnly, 1, 2, 6, 9}
	if underRace || driverOf(t) != onAuto {
		levels = levels[:1] // a race or a driver does not affect the other levels
	}
	for _, level := range levels {
		opts := bigCompressing()
		opts.Compression.Level = level
		m, url := serve(t, echoing, opts, nil)
		for kind, d := range data {
			t.Run(fmt.Sprintf("%s/level=%d", d.name, level), func(t *testing.T) {
				c := dialOver(t, url, offering)
				before := m.Stats().Compressed
				requireEchoes(t, c, kind, true)
				after := m.Stats().Compressed
				require.EqualValues(t, 3*len(sizes), after.In-before.In)
				require.EqualValues(t, 3*(len(sizes)-1), after.Out-before.Out, "an empty message is not compressed")
				require.Equal(t, d.compressible, after.Saved-before.Saved > 100_000)
			})
		}
	}
}

// Group 13: window sizes and context takeover in the client's offer, alone and with
// fallbacks. The negotiation ends before the driver gets the connection, so one driver is
// enough.
func TestWindowOffers(t *testing.T) {
	_, url := serve(t, echoing, bigCompressing(), nil)
	const base = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
	const none = base + "; server_no_context_takeover"
	for _, tt := range []struct{ name, offer, want string }{
		{"no parameter", base, agreed},
		{"no context", none, agreed},
		{"window of 9", base + "; server_max_window_bits=9", ""},
		{"window of 15", base + "; server_max_window_bits=15", agreed15},
		{"no context, window of 9", none + "; server_max_window_bits=9", ""},
		{"no context, window of 15", none + "; server_max_window_bits=15", agreed15},
		{"fallbacks", none + "; server_max_window_bits=9, " + none + ", " + base, agreed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for kind := range data {
				c := dialOver(t, url, http.Header{"Sec-WebSocket-Extensions": {tt.offer}})
				require.Equal(t, tt.want, c.Response.Header.Get("Sec-WebSocket-Extensions"))
				requireEchoes(t, c, kind, tt.want != "")
			}
		})
	}
}

func TestThreshold(t *testing.T) { onEachDriver(t, testThreshold) }

func testThreshold(t *testing.T) {
	for name, tt := range map[string]struct{ set, at int }{"default": {0, 512}, "own": {100, 100}} {
		t.Run(name, func(t *testing.T) {
			opts := optionsWithoutLog()
			opts.Compression = wsmanager.Compression{Enabled: true, Threshold: tt.set}
			m, url := serve(t, echoing, opts, nil)
			c := dialOver(t, url, offering)
			for _, size := range []int{0, 1, tt.at - 1, tt.at, tt.at + 1} {
				for name, send := range map[string]func(string){
					"Send":      c.SendText,
					"Broadcast": func(s string) { m.Broadcast(wsmanager.Text(s)) },
				} {
					text := repeat("x", size)
					send(text)
					f, err := c.ReadFrame()
					require.NoError(t, err)
					require.Equal(t, size >= tt.at, f.Header.Rsv1(), "%s of %d bytes", name, size)
				}
			}
		})
	}
}

func TestNoCompressionOfAMessage(t *testing.T) { onEachDriver(t, testNoCompressionOfAMessage) }

func testNoCompressionOfAMessage(t *testing.T) {
	mgr, url := serve(t, wsmanager.Callbacks{}, compressing(), nil)
	c := dialOver(t, url, offering)
	conn := onlyConn(t, mgr)
	msg := wsmanager.Text(repeat("secret ", 100))
	plain := msg
	plain.NoCompression = true
	for name, send := range map[string]func(wsmanager.Message){
		"Send":             func(m wsmanager.Message) { _ = conn.Send(m) },
		"SendContext":      func(m wsmanager.Message) { _ = conn.SendContext(t.Context(), m) },
		"SendPrepared":     func(m wsmanager.Message) { _ = conn.SendPrepared(wsmanager.Prepare(m)) },
		"Broadcast":        func(m wsmanager.Message) { mgr.Broadcast(m) },
		"WhereLocal":       func(m wsmanager.Message) { mgr.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Send(m) },
		"All.SendPrepared": func(m wsmanager.Message) { mgr.All().SendPrepared(wsmanager.Prepare(m)) },
		"PrepareFunc": func(m wsmanager.Message) {
			mgr.All().SendPrepared(wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { return m, nil }))
		},
	} {
		for _, m := range []wsmanager.Message{msg, plain} {
			send(m)
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, !m.NoCompression, f.Header.Rsv1(), name)
		}
	}
	require.EqualValues(t, 7, mgr.Stats().Compressed.Out)
}

// A received message does not carry how it was sent: its echo is compressed like any other
// message.
func TestReceivedMessagesAreOrdinary(t *testing.T) { onEachDriver(t, testReceivedMessagesAreOrdinary) }

func testReceivedMessagesAreOrdinary(t *testing.T) {
	j := newJournal()
	_, url := serve(t, wsmanager.Callbacks{OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
		j.note("%v %q %v", m.Type, append(m.Payload, "!"...), m.NoCompression)
		return nil
	}}, compressing(), nil)
	c := dialOver(t, url, offering)
	c.SendRaw(append(compressedFrames(t, ws.OpText, []byte("one"), 6, 0), compressedFrames(t, ws.OpBinary, []byte("two"), 6, 2)...))
	c.SendText("three")
	require.Equal(t, []string{`text "one!" false`, `binary "two!" false`, `text "three!" false`}, j.await(t, 3))
}

// Compressed messages work without a size limit as well.
func TestCompressedWithoutALimit(t *testing.T) { onEachDriver(t, testCompressedWithoutALimit) }

func testCompressedWithoutALimit(t *testing.T) {
	for _, limit := range []int{math.MaxInt - 14, math.MaxInt / 8 * 7, 64 << 10} {
		opts := compressing()
		opts.Limits.MaxMessageSize, opts.Outbox.Bytes = limit, math.MaxInt
		_, url := serve(t, echoing, opts, nil)
		c := dialOver(t, url, offering)
		want := repeat("compressed ", 1000)
		c.SendRaw(compressedFrames(t, ws.OpText, []byte(want), 6, 20))
		c.ExpectText(want)
	}
}

// Invalid compressed messages, and how they end the connection.
func TestCompressedFailures(t *testing.T) { onEachDriver(t, testCompressedFailures) }

func testCompressedFailures(t *testing.T) {
	bomb := compressedFrames(t, ws.OpBinary, make([]byte, 1<<20), 9, 0)
	require.Less(t, len(bomb), 1200)
	tampered := compressedFrames(t, ws.OpText, jsonText(2000), 6, 0)
	cut := deflate(t, jsonText(2000), 6)
	marked := func(f []byte) []byte { f[0] |= 0x40; return f }
	for _, tt := range []struct {
		name   string
		sent   []byte
		header http.Header
		code   int
	}{
		{"a decompression bomb of a kilobyte", bomb, offering, 1009},
		{"a decompression bomb in fragments", compressedFrames(t, ws.OpText, bytes.Repeat([]byte{'x'}, 1<<20), 9, 100), offering, 1009},
		{"too long on the wire", marked(wstest.Frame(ws.OpText, true, make([]byte, 80<<10))), offering, 1009},
		{"cut off", marked(wstest.Frame(ws.OpText, true, cut[:len(cut)/2])), offering, 1007},
		{"not deflate data", marked(wstest.Frame(ws.OpText, true, []byte("plain, in truth"))), offering, 1007},
		{"bad UTF-8", compressedFrames(t, ws.OpText, append(prose(3000), 0xff), 6, 0), offering, 1007},
		{"RSV1 on a ping", marked(wstest.Frame(ws.OpPing, true, nil)), offering, 1002},
		{"RSV1 on a continuation", append(wstest.Frame(ws.OpText, false, nil), marked(wstest.Frame(ws.OpContinuation, true, nil))...), offering, 1002},
		{"RSV1 without an offer", tampered, nil, 1002},
		{"RSV1 after an offer that was declined", tampered, http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate; server_max_window_bits=9"}}, 1002},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan error, 1)
			_, url := serve(t, wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { ended <- err }}, compressing(), nil)
			c := dialOver(t, url, tt.header)
			_, _ = c.Conn().Write(tt.sent) // an error is possible: the server may end the connection meanwhile
			c.ExpectClose(tt.code)
			var ce *wsmanager.CloseError
			require.ErrorAs(t, <-ended, &ce)
			require.EqualValues(t, tt.code, ce.Code)
		})
	}
}

package wsmanager_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// collect returns an OnPiece that checks the contract of pieces and calls f with each message.
func collect(t *testing.T, limit int, f func(c *wsmanager.Conn, m wsmanager.Message) error) func(*wsmanager.Conn, wsmanager.Piece) error {
	messages := map[*wsmanager.Conn]wsmanager.Message{}
	lock := make(chan struct{}, 1)
	return func(c *wsmanager.Conn, p wsmanager.Piece) error {
		lock <- struct{}{}
		m, begun := messages[c]
		switch {
		case p.First == begun:
			t.Errorf("First is %v, and a message has begun: %v", p.First, begun)
		case begun && p.Type != m.Type:
			t.Errorf("a piece is a %v in a %v", p.Type, m.Type)
		case len(p.Data) > limit:
			t.Errorf("a piece has %d bytes, the limit is %d", len(p.Data), limit)
		case len(p.Data) == 0 && !p.Last:
			t.Error("a piece is empty and not the last one")
		}
		m = wsmanager.Message{Type: p.Type, Payload: append(m.Payload, p.Data...)}
		clear(p.Data) // it belongs to the callback
		if messages[c] = m; p.Last {
			delete(messages, c)
		}
		<-lock
		if p.Last {
			return f(c, m)
		}
		return nil
	}
}

// The cases of conformance, of messages that are received in pieces. Limits of a message do not
// apply.
func TestConformanceInPieces(t *testing.T) { onSocketDriversAtOnce(t, testConformanceInPieces) }

func testConformanceInPieces(t *testing.T) {
	for _, g := range conformanceGroups {
		if g.name == "sizes" && !allConformance {
			continue
		}
		cases := g.cases
		g.cases = func(p peer) []conformance {
			return slices.DeleteFunc(cases(p), func(tt conformance) bool { return tt.fails == 1009 })
		}
		for _, limit := range []int{7, 64 << 10} {
			s := &subject{peer: peer{masks: true}, ended: make(chan conformanceEnd, 10)}
			cb := s.callbacks()
			cb.OnMessage, cb.OnPiece = nil, collect(t, limit, cb.OnMessage)
			opts := g.options()
			opts.Limits.MaxMessageSize = limit
			_, url := serve(t, cb, opts, nil)
			s.connect = func(t *testing.T) *net.TCPConn { return dialOver(t, url, g.offer).Conn().(*net.TCPConn) }
			t.Run(fmt.Sprint(limit), func(t *testing.T) { runConformance(t, g, s) })
		}
	}
}

func TestOnMessageAndOnPiece(t *testing.T) {
	cb := wsmanager.Callbacks{
		OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { return nil },
		OnPiece:   func(*wsmanager.Conn, wsmanager.Piece) error { return nil },
	}
	for name, create := range map[string]func() error{
		"New": func() error {
			_, err := wsmanager.New(cb, wsmanager.Options{MaxConnections: -1})
			require.ErrorContains(t, err, "MaxConnections", "all mistakes at once")
			return err
		},
		"Dial": func() error {
			_, err := wsmanager.Dial(t.Context(), "ws://127.0.0.1:1", cb, wsmanager.DialOptions{})
			return err
		},
		"NewDialer": func() error {
			_, err := wsmanager.NewDialer("ws://127.0.0.1:1", cb, wsmanager.DialOptions{})
			return err
		},
		"NewClient": func() error {
			_, err := wsmanager.NewClient("ws://127.0.0.1:1", cb, wsmanager.ClientOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, create(), "Callbacks.OnPiece: it is set beside OnMessage")
		})
	}
}

// compressed returns a frame of a compressed message, the first one.
func compressed(op ws.OpCode, fin bool, p []byte) []byte {
	f := wstest.Frame(op, fin, p)
	f[0] |= 0x40
	return f
}

// pieceText describes a piece.
func pieceText(p wsmanager.Piece) string {
	text := fmt.Sprintf("%v %q", p.Type, p.Data)
	if p.First {
		text = "first " + text
	}
	if p.Last {
		text += " last"
	}
	return text
}

// notingPieces returns callbacks that record pieces.
func notingPieces(j *journal) wsmanager.Callbacks {
	return wsmanager.Callbacks{
		OnPiece: func(_ *wsmanager.Conn, p wsmanager.Piece) error { j.note("%s", pieceText(p)); return nil },
		OnClose: func(_ *wsmanager.Conn, err error) { j.note("close: %v", err) },
	}
}

func TestPiecesAsTheyArrive(t *testing.T) { onEachDriverAtOnce(t, testPiecesAsTheyArrive) }

func testPiecesAsTheyArrive(t *testing.T) {
	j := newJournal()
	m, url := serve(t, notingPieces(j), compressing(), nil)
	c := dialOver(t, url, offering)
	step := func(want string, send []byte) {
		t.Helper()
		n := len(j.all())
		c.SendRaw(send)
		require.Equal(t, want, j.await(t, n+1)[n])
	}
	whole := wstest.Frame(ws.OpBinary, true, []byte("hello, world"))
	step(`first binary "hel"`, whole[:6+3])
	require.Zero(t, m.Stats().MessagesIn, "a message counts when it is complete")
	step(`binary "lo, wor"`, whole[6+3:6+10])
	step(`binary "ld" last`, whole[6+10:])
	step(`first text "a"`, wstest.Frame(ws.OpText, false, []byte("a")))
	c.SendPing([]byte("p"))
	c.ExpectPong([]byte("p"))
	step(`text "\xc3"`, wstest.Frame(ws.OpContinuation, false, []byte("\xc3")))
	c.SendRaw(wstest.Frame(ws.OpContinuation, false, nil))
	step(`text "\xa4"`, wstest.Frame(ws.OpContinuation, false, []byte("\xa4")))
	step(`text "" last`, wstest.Frame(ws.OpContinuation, true, nil))
	step(`first text "" last`, wstest.Frame(ws.OpText, true, nil))
	require.EqualValues(t, 3, m.Stats().MessagesIn)

	// A block with stored bytes is delivered as far as it has arrived.
	stored := deflate(t, []byte("stored bytes"), 0)
	step(`first text "stored"`, compressed(ws.OpText, false, stored[:5+6]))
	c.SendPing([]byte("p"))
	c.ExpectPong([]byte("p"))
	step(`text " bytes" last`, wstest.Frame(ws.OpContinuation, true, stored[5+6:]))
	require.EqualValues(t, 1, m.Stats().Compressed.In)

	step(`first text "unfinished"`, wstest.Frame(ws.OpText, false, []byte("unfinished")))
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	require.Equal(t, "close: <nil>", j.await(t, 12)[11])
	require.EqualValues(t, 4, m.Stats().MessagesIn)
}

// A text fails at its first byte that is not valid, and so does compressed data.
func TestPiecesThatAreInvalid(t *testing.T) { onEachDriverAtOnce(t, testPiecesThatAreInvalid) }

func testPiecesThatAreInvalid(t *testing.T) {
	prose := []byte(repeat("All work and no play makes Jack a dull boy. ", 100))
	for _, tt := range []struct {
		name  string
		send  []byte
		first string // the only piece
	}{
		{"in the second fragment", join(wstest.Frame(ws.OpText, false, []byte("ok")), wstest.Frame(ws.OpContinuation, false, []byte("\xff"))), `first text "ok"`},
		{"in the middle of a frame", wstest.Frame(ws.OpText, true, []byte("\xffxxxxxxxxxxxx"))[:8], ""},
		{"half a character", join(wstest.Frame(ws.OpText, false, []byte("\xc3")), wstest.Frame(ws.OpContinuation, true, nil)), `first text "\xc3"`},
		{"half a character, then another", join(wstest.Frame(ws.OpText, false, []byte("\xc3")), wstest.Frame(ws.OpContinuation, false, []byte("x"))), `first text "\xc3"`},
		{"compressed text", compressed(ws.OpText, true, deflate(t, []byte("\xff"), 1)), ""},
		{"no deflate", compressed(ws.OpBinary, true, []byte("\xff\xff")), ""},
		{"cut off", compressed(ws.OpText, true, deflate(t, prose, 6)[:30]), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal()
			_, url := serve(t, notingPieces(j), compressing(), nil)
			c := dialOver(t, url, offering)
			c.SendRaw(tt.send)
			c.ExpectClose(1007)
			var want []string
			if tt.first != "" {
				want = append(want, tt.first)
			}
			entries := j.await(t, len(want)+1)
			require.Equal(t, want, append([]string(nil), entries[:len(want)]...))
			require.Contains(t, entries[len(want)], "1007")
		})
	}
}

// Pieces that arrive while a callback runs: pings are answered, pieces are queued in order, and
// the callback keeps its memory.
func TestPiecesWhileACallbackRuns(t *testing.T) {
	onEachDriverAtOnce(t, testPiecesWhileACallbackRuns)
}

func testPiecesWhileACallbackRuns(t *testing.T) {
	prose := []byte(repeat("All work and no play makes Jack a dull boy. ", 5000))
	squeezed := deflate(t, prose, 9)
	for _, tt := range []struct {
		name string
		hold string   // the data of the piece whose callback blocks begins like that
		send [][]byte // before the ping
		then [][]byte // after it
		want []string // messages
	}{
		{
			"in the first piece", "hold", [][]byte{wstest.Frame(ws.OpText, false, []byte("hold ")), wstest.Frame(ws.OpContinuation, false, []byte("on "))},
			[][]byte{wstest.Frame(ws.OpContinuation, true, []byte("tight")), wstest.Frame(ws.OpText, true, []byte("next"))},
			[]string{"hold on tight", "next"},
		},
		{
			"in the middle of a character", "hold", [][]byte{wstest.Frame(ws.OpText, false, []byte("hold \xc3"))},
			[][]byte{wstest.Frame(ws.OpContinuation, true, []byte("\xa4"))},
			[]string{"hold ä"},
		},
		{
			"in a compressed message", "All", [][]byte{compressed(ws.OpText, false, squeezed[:len(squeezed)/2])},
			[][]byte{wstest.Frame(ws.OpContinuation, true, squeezed[len(squeezed)/2:]), wstest.Frame(ws.OpText, true, []byte("next"))},
			[]string{string(prose), "next"},
		},
		{
			"in a compressed message that has arrived", "All", [][]byte{compressed(ws.OpText, true, squeezed)},
			[][]byte{compressed(ws.OpText, true, squeezed)},
			[]string{string(prose), string(prose)},
		},
	} {
		for _, secure := range []bool{false, true} {
			if secure && driverOf(t) != onGoroutine {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %v", tt.name, secure), func(t *testing.T) {
				t.Parallel()
				j := newJournal()
				entered, release := make(chan struct{}), make(chan struct{})
				held := false
				whole := collect(t, 512<<10, func(_ *wsmanager.Conn, m wsmanager.Message) error {
					j.note("%s", m.Payload)
					return nil
				})
				opts := compressing()
				opts.Limits.MaxMessageSize = 512 << 10 // the prose is queued
				m := wsmanager.MustNew(wsmanager.Callbacks{OnPiece: func(c *wsmanager.Conn, p wsmanager.Piece) error {
					if !held && strings.HasPrefix(string(p.Data), tt.hold) {
						held = true
						before := bytes.Clone(p.Data)
						close(entered)
						<-release
						if !bytes.Equal(before, p.Data) {
							t.Error("the piece has changed during the callback")
						}
					}
					return whole(c, p)
				}}, onDriver(t, opts))
				wsmanager.SetWatchInterval(m, 10*time.Millisecond)
				srv := httptest.NewUnstartedServer(m)
				var c *wstest.Client
				t.Cleanup(func() {
					shutdown(t, m)
					srv.Close()
				})
				if secure {
					srv.StartTLS()
					c = upgradeTLS(t, srv, offering, nil)
				} else {
					serveDriverProtocol(t, srv)
					srv.Start()
					c = dialOver(t, srv.URL, offering)
				}
				ping := func(text string) {
					c.SendPing([]byte(text))
					c.ExpectPong([]byte(text))
				}
				c.SendRaw(join(tt.send...))
				receive(t, entered)
				ping("p")
				for _, f := range tt.then {
					c.SendRaw(f[:len(f)/2])
					c.SendRaw(f[len(f)/2:])
				}
				ping("q")
				require.Empty(t, j.all())
				close(release)
				require.Equal(t, tt.want, j.await(t, len(tt.want)))
				ping("after")
			})
		}
	}
}

// While a callback runs, pieces are queued up to MaxMessageSize. Then the peer is slowed down,
// also if it sends compressed data that inflates to much more.
func TestPiecesPushBack(t *testing.T) { onEachDriverAtOnce(t, testPiecesPushBack) }

func testPiecesPushBack(t *testing.T) {
	const limit, size = 10_000, 8 << 20
	for _, tt := range []struct {
		name string
		send []byte
	}{
		{"plain", wstest.Frame(ws.OpBinary, true, make([]byte, size))},
		{"compressed", compressed(ws.OpBinary, true, deflate(t, make([]byte, size), 9))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal()
			entered, release := make(chan struct{}), make(chan struct{})
			received, held := 0, 0
			opts := compressing()
			opts.Limits.MaxMessageSize = limit
			m, url := serve(t, wsmanager.Callbacks{OnPiece: func(c *wsmanager.Conn, p wsmanager.Piece) error {
				if held++; held == 2 {
					close(entered)
					<-release
				}
				if received += len(p.Data); p.Last {
					j.note("%d", received)
				}
				return nil
			}}, opts, nil)
			c, other := dialOver(t, url, offering), dialOver(t, url, nil)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				c.SendRaw(tt.send)
			}()
			receive(t, entered)
			var conn *wsmanager.Conn
			for each := range m.All().Local() {
				if conn == nil || wsmanager.RunsCallback(each) {
					conn = each
				}
			}
			awaitCondition(t, func() bool { return wsmanager.ReadingStopped(conn) })
			before := m.Stats().BytesIn
			for i := range 15 {
				other.SendPing([]byte{byte(i)})
				other.ExpectPong([]byte{byte(i)})
			}
			require.EqualValues(t, 15*7, m.Stats().BytesIn-before, "only the pings were read")
			require.Less(t, before, uint64(limit+100_000))
			close(release)
			require.Equal(t, []string{fmt.Sprint(size)}, j.await(t, 1))
			receive(t, sent)
		})
	}
}

// A callback can end a connection in the middle of a message, by each way that OnMessage has.
func TestOnPieceThatEndsItsConnection(t *testing.T) {
	onEachDriverAtOnce(t, testOnPieceThatEndsItsConnection)
}

func testOnPieceThatEndsItsConnection(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(c *wsmanager.Conn) error
		code int
	}{
		{"an error", func(*wsmanager.Conn) error { return errors.New("no") }, 1011},
		{"a CloseError", func(*wsmanager.Conn) error { return &wsmanager.CloseError{Code: 4000, Reason: "enough"} }, 4000},
		{"a panic", func(*wsmanager.Conn) error { panic("oops") }, 1011},
		{"Goexit", func(*wsmanager.Conn) error { runtime.Goexit(); return nil }, 1011},
		{"Close", func(c *wsmanager.Conn) error { return c.Close(4001, "") }, 4001},
		{"Shutdown", func(c *wsmanager.Conn) error {
			go func() { _ = c.Manager().Shutdown(context.Background()) }()
			for !wsmanager.Closing(c) {
				runtime.Gosched()
			}
			return nil
		}, 1001},
	} {
		for _, squeeze := range []bool{false, true} {
			for _, slow := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, compressed %v, slow %v", tt.name, squeeze, slow), func(t *testing.T) {
					t.Parallel()
					if tt.name == "Goexit" {
						needH1(t, "net/http resets the stream of a handler that did not return")
					}
					endInThePiece(t, squeeze, slow, tt.do, tt.code)
				})
			}
		}
	}
}

// endInThePiece connects a client that sends one big message, and ends the connection in
// the callback of its first piece.
func endInThePiece(t *testing.T, squeeze, slow bool, do func(*wsmanager.Conn) error, code int) {
	t.Helper()
	j := newJournal()
	m, err := wsmanager.New(wsmanager.Callbacks{
		OnPiece: func(c *wsmanager.Conn, p wsmanager.Piece) error {
			j.note("piece")
			for slow && !wsmanager.Taken(c) {
				runtime.Gosched()
			}
			return do(c)
		},
		OnClose: func(*wsmanager.Conn, error) { j.note("closed") },
	}, onDriver(t, compressing()))
	require.NoError(t, err)
	wsmanager.SetWatchInterval(m, 10*time.Millisecond)
	srv := httptest.NewUnstartedServer(m)
	serveDriverProtocol(t, srv)
	srv.Start()
	defer srv.Close()
	c := dialOver(t, srv.URL, offering)
	send := wstest.Frame(ws.OpBinary, false, make([]byte, 200_000))
	if squeeze {
		send = compressed(ws.OpBinary, false, deflate(t, make([]byte, 1<<20), 6))
	}
	c.SendRaw(join(send, wstest.Frame(ws.OpPing, true, []byte("p")), wstest.Frame(ws.OpContinuation, true, nil)))
	for {
		f, err := c.ReadFrame()
		require.NoError(t, err)
		if f.Header.OpCode == ws.OpClose {
			got, _ := ws.ParseCloseFrameData(f.Payload)
			require.EqualValues(t, code, got)
			break
		}
	}
	_ = c.Conn().Close()
	require.Equal(t, []string{"piece", "closed"}, j.await(t, 2))
	requireNoConns(t, m)
}

// A message counts once against MessageRate, when it begins.
func TestRateOfPieces(t *testing.T) { onEachDriverAtOnce(t, testRateOfPieces) }

func testRateOfPieces(t *testing.T) {
	j := newJournal()
	opts := optionsWithoutLog()
	opts.Limits.MessageRate, opts.Limits.MessageBurst = 1e-6, 2
	m, url := serve(t, notingPieces(j), opts, nil)
	c := dialOver(t, url, nil)
	c.SendRaw(wstest.Frame(ws.OpBinary, false, []byte("x")))
	for range 10 {
		c.SendRaw(wstest.Frame(ws.OpContinuation, false, []byte("x")))
	}
	c.SendRaw(wstest.Frame(ws.OpContinuation, true, []byte("x")))
	c.SendRaw(join(textFrame("second"), wstest.Frame(ws.OpText, false, []byte("third"))))
	c.ExpectClose(1008)
	entries := j.await(t, 14)
	require.Equal(t, `first text "second" last`, entries[12])
	require.Contains(t, entries[13], "MessageRate")
	require.EqualValues(t, 2, m.Stats().MessagesIn)
}

// A client receives pieces as a server does.
func TestPiecesOfAClient(t *testing.T) { onSocketDriversAtOnce(t, testPiecesOfAClient) }

func testPiecesOfAClient(t *testing.T) {
	_, url := serve(t, echoing, compressing(), nil)
	for _, squeeze := range []bool{false, true} {
		got := make(chan string, 1)
		opts := dialOptions(optionsWithoutLog())
		opts.Compression.Enabled = squeeze
		opts.Limits.MaxMessageSize = 1000
		c := connect(t, url, wsmanager.Callbacks{OnPiece: collect(t, 1000, func(_ *wsmanager.Conn, m wsmanager.Message) error {
			got <- string(m.Payload)
			return nil
		}), OnClose: func(_ *wsmanager.Conn, err error) {
			if err != nil {
				got <- err.Error()
			}
		}}, opts)
		text := string(prose(50_000))
		require.NoError(t, c.Send(wsmanager.Text(text)))
		require.Equal(t, text, receive(t, got))
		require.NoError(t, c.Close(1000, ""))
	}
}

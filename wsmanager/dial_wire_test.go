package wsmanager_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// rawServer accepts one connection, calls f with it, and returns the server's URL.
func rawServer(t *testing.T, f func(conn net.Conn, accept string)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(wstest.Patience))
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		f(conn, base64.StdEncoding.EncodeToString(sum[:]))
	}()
	return "ws://" + ln.Addr().String()
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

// Invalid handshake responses give another error than responses that refuse the handshake.
func TestDialBadAnswers(t *testing.T) { onSocketDriversAtOnce(t, testDialBadAnswers) }

func testDialBadAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"wrong key":             switching + "AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
		"no key":                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"no upgrade":            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		"another upgrade":       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		"no connection":         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		"HTTP/1.0":              "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		"no HTTP":               "220 smtp.example.com ESMTP\r\n",
		"nonsense":              "\x00\x01\x02\n\n\n",
		"header without colon":  switching + "%s\r\nnonsense\r\n\r\n",
		"invalid HTTP version":  "HTTP/1.? 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		"unasked sub-protocol":  switching + "%s\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
		"unasked extension":     switching + "%s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		"endless line":          switching + strings.Repeat("x", 70_000),
		"endless headers":       switching + "%s\r\n" + strings.Repeat("X-Flood: yes\r\n", 7000),
		"endless refused head":  "HTTP/1.1 400 Bad Request\r\n",
		"answer of OnResponse":  switching + "%s\r\nX-Veto: yes\r\n\r\n",
		"ends in the middle":    switching,
		"refused and cut short": "HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\nwho",
	} {
		t.Run(name, func(t *testing.T) {
			url := rawServer(t, func(conn net.Conn, accept string) {
				_, _ = io.WriteString(conn, strings.Replace(answer, "%s", accept, 1))
				if strings.HasPrefix(name, "endless") {
					_, _ = io.Copy(io.Discard, conn) // the client closes the connection
				}
			})
			opts := dialOptionsWithoutLog()
			veto := errors.New("vetoed")
			opts.Handshake.OnResponse = func(h http.Header) error {
				if h.Get("X-Veto") != "" {
					return veto
				}
				return nil
			}
			if name == "endless refused head" {
				opts.Timeouts.Handshake = 2 * time.Second // long enough for the first part to arrive
			}
			_, err := dialAs(t.Context(), t, url, wsmanager.Callbacks{OnConnect: func(*wsmanager.Conn) error {
				t.Error("OnConnect was called")
				return nil
			}}, opts)
			require.Equal(t, 1, strings.Count(err.Error(), "wsmanager: "), err.Error())
			var refused *wsmanager.RefusedError
			switch {
			case name == "answer of OnResponse":
				require.ErrorIs(t, err, veto)
			case name == "ends in the middle":
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			case strings.Contains(name, "refused"):
				require.ErrorAs(t, err, &refused)
				require.Contains(t, []int{400, 401}, refused.StatusCode)
				if refused.StatusCode == 401 {
					require.Equal(t, "who", string(refused.Body))
				}
			default:
				require.ErrorIs(t, err, wsmanager.ErrHandshake)
				if strings.HasPrefix(name, "endless") {
					require.ErrorContains(t, err, "bigger than")
				}
			}
		})
	}
}

// If a server is silent or slow, Dial returns after Timeouts.Handshake or at the end of the
// context.
func TestDialTimeout(t *testing.T) { onSocketDriversAtOnce(t, testDialTimeout) }

func testDialTimeout(t *testing.T) {
	for name, behave := range map[string]func(net.Conn){
		"silent": func(net.Conn) {},
		"slow": func(conn net.Conn) {
			for range 10_000 {
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
				time.Sleep(time.Millisecond) // the test needs a slow server
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, scheme := range []string{"ws", "wss"} {
				url := rawServer(t, func(conn net.Conn, _ string) {
					behave(conn)
					_, _ = io.Copy(io.Discard, conn)
				})
				opts := dialOptionsWithoutLog()
				opts.Timeouts.Handshake = 50 * time.Millisecond
				_, err := dialAs(t.Context(), t, strings.Replace(url, "ws:", scheme+":", 1), wsmanager.Callbacks{}, opts)
				require.Error(t, err)
				if name == "silent" && scheme == "ws" {
					require.ErrorContains(t, err, "Timeouts.Handshake")
				}
			}
		})
	}
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		url := rawServer(t, func(conn net.Conn, _ string) {
			cancel(enough)
			_, _ = io.Copy(io.Discard, conn)
		})
		_, err := dialAs(ctx, t, url, wsmanager.Callbacks{}, dialOptionsWithoutLog())
		require.ErrorIs(t, err, enough)
	})
}

// Frames that a server sends directly behind its handshake response, in pieces and with
// control frames in between, arrive. The client's answers are masked, each with a new key.
func TestDialFrames(t *testing.T) { onSocketDrivers(t, testDialFrames) }

func testDialFrames(t *testing.T) {
	keys := make(map[[4]byte]bool)
	answers := make(chan string, 100)
	url := rawServer(t, func(conn net.Conn, accept string) {
		early := string(ws.MustCompileFrame(ws.NewTextFrame([]byte("early"))))
		_, _ = io.WriteString(conn, switching+accept+"\r\n\r\n"+early)
		for _, f := range []ws.Frame{
			ws.NewFrame(ws.OpText, false, []byte("in ")), ws.NewPingFrame([]byte("p")),
			ws.NewFrame(ws.OpContinuation, false, []byte("three ")), ws.NewFrame(ws.OpContinuation, true, []byte("parts")),
		} {
			_, _ = conn.Write(ws.MustCompileFrame(f))
		}
		for {
			f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
			if err != nil {
				close(answers)
				return
			}
			if !f.Header.Masked || keys[f.Header.Mask] {
				answers <- "without a key of its own"
			}
			keys[f.Header.Mask] = true
			answers <- fmt.Sprintf("%#x %s", byte(f.Header.OpCode), ws.UnmaskFrame(f).Payload)
			if f.Header.OpCode == ws.OpClose {
				_ = ws.WriteFrame(conn, ws.NewCloseFrame(f.Payload))
			}
		}
	})
	j := newJournal()
	c := connect(t, url, recordingCallbacks(j), dialOptionsWithoutLog())
	require.Equal(t, []string{"connect", `text "early"`, `text "in three parts"`}, j.await(t, 3))
	var got []string
	for range 3 { // the last message is noted before it is echoed
		got = append(got, receive(t, answers))
	}
	for i := range 3 {
		require.NoError(t, c.Send(wsmanager.Text(fmt.Sprint(i))))
	}
	require.NoError(t, c.Close(4000, "bye"))
	j.await(t, 4)
	for a := range answers {
		got = append(got, a)
	}
	require.Equal(t, []string{"0x1 early", "0xa p", "0x1 in three parts", "0x1 0", "0x1 1", "0x1 2", "0x8 \x0f\xa0bye"}, got)
}

// Frames that a server must not send fail the connection as RFC 6455 requires.
func TestDialProtocolErrors(t *testing.T) { onSocketDrivers(t, testDialProtocolErrors) }

func testDialProtocolErrors(t *testing.T) {
	for name, c := range map[string]struct {
		frame ws.Frame
		code  wsmanager.StatusCode
	}{
		"masked":         {ws.MaskFrame(ws.NewTextFrame([]byte("x"))), 1002},
		"masked control": {ws.MaskFrame(ws.NewPingFrame(nil)), 1002},
		"reserved bit":   {ws.Frame{Header: ws.Header{Fin: true, Rsv: 4, OpCode: ws.OpText}}, 1002},
		"not UTF-8":      {ws.NewTextFrame([]byte{0xff}), 1007},
		"too big":        {ws.NewBinaryFrame(make([]byte, 65<<10)), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			code := make(chan ws.StatusCode, 1)
			url := rawServer(t, func(conn net.Conn, accept string) {
				_, _ = io.WriteString(conn, switching+accept+"\r\n\r\n")
				_, _ = conn.Write(ws.MustCompileFrame(c.frame))
				f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
				if err == nil {
					sent, _ := ws.ParseCloseFrameData(ws.UnmaskFrame(f).Payload)
					code <- sent
				}
			})
			ended := make(chan error, 1)
			connect(t, url, wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { ended <- err }}, dialOptionsWithoutLog())
			var ce *wsmanager.CloseError
			require.ErrorAs(t, receive(t, ended), &ce)
			require.Equal(t, c.code, ce.Code)
			require.False(t, ce.Remote)
			require.EqualValues(t, c.code, receive(t, code))
		})
	}
}

// The client sends pings, and closes the connection if the server does not answer.
func TestDialKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.dialOptions()
		ended := make(chan error, 1)
		dialled := make(chan error, 1)
		go func() {
			_, err := wsmanager.Dial(t.Context(), "ws://example.com/", wsmanager.Callbacks{
				OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
			}, opts)
			dialled <- err
		}()
		conn := network.accept(t)
		require.NoError(t, <-dialled)
		began := time.Now()
		pings := 0
		for op := ws.OpPing; op == ws.OpPing; {
			f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
			require.NoError(t, err)
			require.True(t, f.Header.Masked)
			if op = f.Header.OpCode; op == ws.OpPing {
				pings++
			} else {
				require.Equal(t, ws.OpClose, op)
			}
		}
		require.Contains(t, []int{1, 2}, pings, "the intervals vary by 10 %, so the second may come too late")
		require.ErrorIs(t, <-ended, wsmanager.ErrIdleTimeout)
		require.InDelta(t, 110, time.Since(began).Seconds(), 11)
		_, err := io.Copy(io.Discard, conn)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
}

// The records in a client's log say which side ended the connection.
func TestDialLog(t *testing.T) { onSocketDrivers(t, testDialLog) }

func testDialLog(t *testing.T) {
	url, _ := echoServer(t, false)
	j := newJournal()
	opts := wsmanager.DialOptions{}
	opts.Logger = slog.New(slog.NewJSONHandler(j, nil))
	c := connect(t, url, wsmanager.Callbacks{}, opts)
	require.NoError(t, c.Close(1000, ""))
	require.Equal(t, "client", j.record(t, 0)["by"])
}

package handshake_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// handshakeSeeds are requests, good and bad.
var handshakeSeeds = []string{
	fuzzHandshake + "\r\n",
	fuzzHandshake + "\r\n" + "\x81\x85\x01\x02\x03\x04igohn",
	fuzzHandshake + "Origin: http://example.com\r\n\r\n",
	fuzzHandshake + "Origin: null\r\n\r\n",
	fuzzHandshake + "Origin: http://evil.example\r\n\r\n",
	fuzzHandshake + "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n",
	fuzzHandshake + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
	fuzzHandshake + "Content-Length: 5\r\n\r\nhello",
	fuzzHandshake + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	fuzzHandshake + "Sec-WebSocket-Key: " + wstest.Key + "\r\n\r\n",
	strings.Replace(fuzzHandshake, "13", "13\r\n ", 1) + "\r\n", // a folded line
	strings.Replace(fuzzHandshake, wstest.Key, wstest.Key+"\r\n ", 1) + "\r\n",
	fuzzHandshake + "X: y",
	strings.Replace(fuzzHandshake, "13", "8", 1) + "\r\n",
	strings.Replace(fuzzHandshake, "Upgrade: websocket", "Upgrade: h2c, WebSocket", 1) + "\r\n",
	strings.Replace(fuzzHandshake, "Connection: Upgrade", "Connection: keep-alive , upgrade", 1) + "\r\n",
	strings.Replace(fuzzHandshake, "GET", "POST", 1) + "\r\n",
	strings.Replace(fuzzHandshake, "HTTP/1.1", "HTTP/1.0", 1) + "\r\n",
	strings.Replace(fuzzHandshake, "GET / ", "GET http://example.com/%zz ", 1) + "\r\n",
	"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" + fuzzHandshake + "\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n",
	"\x16\x03\x01",
}

// fuzzHandshake is a valid request without the end of its headers.
const fuzzHandshake = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + wstest.Key + "\r\n"

// accepting is a server that hangs up after the handshake.
func accepting(w http.ResponseWriter, r *http.Request) {
	q, err := handshake.Check(w, r, &handshake.ServerConfig{})
	if err == nil {
		err = q.Prepare(w, wstest.Patience)
	}
	var conn net.Conn
	if err == nil {
		conn, _, err = q.Upgrade(w, &handshake.Answer{}, wstest.Patience)
	}
	var refusal *handshake.Refusal
	switch {
	case err == nil:
		_ = conn.Close() // the client sees the end
	case errors.As(err, &refusal):
		http.Error(w, refusal.Text, refusal.Status)
	default:
		panic(http.ErrAbortHandler)
	}
}

// FuzzHandshake sends any bytes to net/http's server and a handshake behind it: nothing
// panics, no answer is a 500, and a 101 answers only a valid handshake, which the test
// checks by rules of its own.
func FuzzHandshake(f *testing.F) {
	for _, s := range handshakeSeeds {
		f.Add([]byte(s))
	}
	var complaints bytes.Buffer // read after the server has ended
	ln := wstest.Listen(0)
	srv := &http.Server{Handler: http.HandlerFunc(accepting), ErrorLog: log.New(&complaints, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln) // http.ErrServerClosed
	}()
	f.Cleanup(func() {
		_ = srv.Shutdown(f.Context()) // all requests have been answered
		<-served
		if strings.Contains(complaints.String(), "panic") {
			f.Error(complaints.String())
		}
	})
	f.Fuzz(func(t *testing.T, request []byte) {
		conn, err := ln.Dial()
		require.NoError(t, err)
		defer func() { _ = conn.Close() }() // never an error
		require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
		go func() {
			_, _ = conn.Write(request) // it may be refused before its end
			_ = conn.CloseWrite()
		}()
		answer, err := io.ReadAll(conn)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it was left waiting")
		if len(answer) == 0 {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		require.NoError(t, err, "%.200q", answer)
		require.NotEqual(t, 500, res.StatusCode)
		if res.StatusCode == 101 {
			checkAccepted(t, request, res)
		}
	})
}

// checkAccepted checks that a request that was accepted had a right to be (RFC 6455,
// section 4.2.1), and the answer (section 4.2.2).
func checkAccepted(t *testing.T, request []byte, res *http.Response) {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	require.NoError(t, err)
	has := func(name, token string) bool {
		for _, part := range strings.Split(strings.Join(req.Header.Values(name), ","), ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
		return false
	}
	require.Equal(t, "GET", req.Method)
	require.True(t, req.ProtoAtLeast(1, 1))
	require.True(t, has("Upgrade", "websocket"))
	require.True(t, has("Connection", "upgrade"))
	require.Len(t, req.Header.Values("Sec-WebSocket-Version"), 1)
	require.Equal(t, "13", strings.TrimSpace(req.Header.Get("Sec-WebSocket-Version")))
	require.Len(t, req.Header.Values("Sec-WebSocket-Key"), 1)
	key := strings.TrimSpace(req.Header.Get("Sec-WebSocket-Key")) // a folded line leaves a space
	nonce, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	require.Len(t, nonce, 16)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	require.Equal(t, base64.StdEncoding.EncodeToString(sum[:]), res.Header.Get("Sec-WebSocket-Accept"))
	require.Equal(t, "websocket", res.Header.Get("Upgrade"))
	require.Equal(t, "Upgrade", res.Header.Get("Connection"))
	require.Empty(t, res.Header.Get("Sec-WebSocket-Protocol"), "OnAccept chooses none")
	if len(req.Header.Values("Origin")) > 0 {
		require.True(t, strings.HasSuffix(strings.ToLower(req.Header.Get("Origin")), strings.ToLower(strings.TrimSuffix(req.Host, ":80"))) ||
			strings.Contains(req.Host, ":"), "%q at %q", req.Header.Get("Origin"), req.Host)
	}
}

// switching is the beginning of a valid answer. The proof follows.
const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

// FuzzDialAnswer answers a client's handshake with any bytes, in which %s stands for the
// proof that the key was understood: nothing panics, the handshake succeeds only if the
// proof is in the answer, and the client gets all bytes after it. It succeeds if the answer
// fulfils RFC 6455, section 4.1, in the reading of net/http.
func FuzzDialAnswer(f *testing.F) {
	const good = switching + "%s\r\n\r\n"
	for _, s := range []string{
		good, good + "\x81\x02hi", good + "\x88\x00", good + "\xff\xff", good + "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		switching + "AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nUPGRADE: WebSocket\r\nsec-websocket-accept:%s\r\n\r\n",
		"HTTP/1.1 101\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		"HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		"HTTP/1.? 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		switching + "%s\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
		switching + "%s\r\nSec-WebSocket-Protocol: other\r\n\r\n",
		switching + "%s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		switching + "%s\r\nnonsense\r\n\r\n",
		"HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\nwho",
		"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" + good, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n y\r\n\r\nHTTP/1.1 102\r\n\r\n" + good,
		"\r\nhttp/1.1  101 \nUpgrade:\n h2c,websocket\nConnection : keep-alive\nConnection: a,Upgrade\nX Y: z\nSec-WebSocket-Accept: %s\n\n",
		switching + "%s\r\nSec-WebSocket-Protocol:\r\nContent-Length: x\r\nTransfer-Encoding: br\r\n\r\n\x81\x02hi",
		switching + "%s\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", "220 smtp.example.com ESMTP\r\n", "\x00\x01\x02\n\n\n", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var proof string
		answered := make(chan []byte, 1) // with the bytes that were sent
		cfg := handshake.ClientConfig{
			Subprotocols: []string{"chat"},
			Proxy:        func(*http.Request) (*url.URL, error) { return nil, nil },
			NetDial: pipeTo(func(conn *wstest.PipeConn) {
				var sent []byte
				defer func() { answered <- sent }()
				defer func() { _ = conn.Close() }() // never an error
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
				proof = base64.StdEncoding.EncodeToString(sum[:])
				sent = bytes.ReplaceAll(answer, []byte("%s"), []byte(proof))
				_, _ = conn.Write(sent) // the client may have closed it
			}),
		}
		target, mistakes, urlErr := handshake.NewTarget(&url.URL{Scheme: "ws", Host: "example.com", Path: "/"}, nil)
		require.Empty(t, mistakes)
		require.NoError(t, urlErr)
		res, err := handshake.Dial(t.Context(), target, &cfg)
		if err != nil {
			require.False(t, isSwitching(<-answered, proof), "%v", err)
			return
		}
		require.Regexp(t, `(?mi)^HTTP/1\.[1-9] +101\s`, string(answer))
		require.Contains(t, []string{"", "chat"}, res.Subprotocol)
		require.False(t, res.Extensions)
		rest, err := io.ReadAll(res.Conn)
		require.NoError(t, err)
		require.NoError(t, res.Conn.Close())
		sent := <-answered
		require.True(t, bytes.Contains(sent, []byte(proof)))
		require.True(t, bytes.HasSuffix(sent, append(res.Early, rest...)))
	})
}

// isSwitching reports whether net/http reads a valid 101 without sub-protocol and extensions.
func isSwitching(answer []byte, proof string) bool {
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	contains := func(name, token string) bool {
		return slices.ContainsFunc(strings.Split(strings.Join(res.Header.Values(name), ","), ","), func(item string) bool {
			return strings.EqualFold(strings.Trim(item, " \t"), token)
		})
	}
	return res.StatusCode == http.StatusSwitchingProtocols && res.ProtoAtLeast(1, 1) && contains("Upgrade", "websocket") && contains("Connection", "upgrade") &&
		slices.Equal(res.Header.Values("Sec-WebSocket-Accept"), []string{proof}) &&
		len(res.Header.Values("Sec-WebSocket-Protocol"))+len(res.Header.Values("Sec-WebSocket-Extensions")) == 0
}

// pipeTo returns a NetDial that connects to a server in memory.
func pipeTo(serve func(*wstest.PipeConn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := wstest.Pipe(0)
		go serve(server)
		return client, nil
	}
}

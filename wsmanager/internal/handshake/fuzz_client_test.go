package handshake

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// FuzzRedirect redirects a client: it never leaves TLS, another server gets no credential,
// and the request is one request, to the host that the URL names.
func FuzzRedirect(f *testing.F) {
	for _, from := range []string{"ws://a.example/d/x?q", "wss://a.example", "ws://a.example:8080/", "wss://[::1]:443/"} {
		for _, to := range []string{
			"/y", "y?a b", "?b", "//b.example/", "ws://a.example/", "wss://a.example:443/", "http://b.example/#f", "https://A.example:8080//x",
			"ftp://a.example", "ws://me:secret@a.example/", "http:a", "http:///x", "wss://[::1%25en0]/", "//a.example:80:80/", "/\\b.example/", "\u00fc", "/%0d%0aX: y", "https:opaque?x y",
		} {
			f.Add(from, to)
		}
	}
	f.Fuzz(func(t *testing.T, from, to string) {
		u, err := url.Parse(from)
		if err != nil {
			return
		}
		u.User = nil
		first, _, err := NewTarget(u, http.Header{"Authorization": {"secret"}, "Cookie": {"secret"}, "X-Key": {"secret"}, "Origin": {"http://a.example"}})
		if err != nil {
			return
		}
		next, err := newHops(first, 1).next([]string{to})
		if err != nil {
			return
		}
		require.False(t, first.IsTLS() && !next.IsTLS())
		require.Contains(t, []string{"ws", "wss"}, next.url.Scheme)
		require.Nil(t, next.url.User)
		request := (&ClientConfig{}).request(next, newKey())
		br := bufio.NewReader(bytes.NewReader(request))
		req, err := http.ReadRequest(br)
		if err != nil {
			return // for example a host that net/http refuses
		}
		require.Zero(t, br.Buffered(), "%q", request)
		require.Equal(t, "websocket", req.Header.Get("Upgrade"))
		require.Equal(t, withoutZone(next.url), req.Host)
		same := strings.EqualFold(u.Hostname(), next.url.Hostname()) && (port(first.url) == port(next.url) || port(first.url) == "80" && port(next.url) == "443" && next.IsTLS())
		for _, name := range []string{"Authorization", "Cookie", "X-Key"} {
			require.Equal(t, same, req.Header.Get(name) != "", "%s in %q", name, request)
		}
	})
}

// FuzzTunnelAnswer answers a CONNECT with any bytes: nothing panics, and there is a tunnel only
// after a status of 2xx.
func FuzzTunnelAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n y\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nearly",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nwho", "HTTP/1.1 101 \r\n\r\n", "220 smtp\r\n", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		err := throughProxy(t, "http://me:secret@proxy.example", answer)
		if err == nil {
			require.Regexp(t, `(?mi)^HTTP/1\.\d +2\d\d\s`, string(answer))
			return
		}
		require.ErrorContains(t, err, "proxy proxy.example")
	})
}

// FuzzSOCKSAnswer answers a SOCKS5 client with any bytes: nothing panics, and there is a
// tunnel only after the answer that says so.
func FuzzSOCKSAnswer(f *testing.F) {
	for _, s := range []string{
		"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x02\x01\x00\x05\x00\x00\x03\x04name\x00\x50", "\x05\x02\x01\x01", "\x05\xff",
		"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x00\x05\x00\x00\x03\x00\x00\x50", "\x05\x00\x05\x00\x00\x04" + strings.Repeat("\x00", 18), "\x04\x00", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		err := throughProxy(t, "socks5://me:secret@proxy.example", answer)
		if err == nil {
			require.Regexp(t, `(?s)^\x05(\x00|\x02\x01\x00)\x05\x00\x00[\x01\x03\x04]`, string(answer))
			return
		}
		require.ErrorContains(t, err, "the proxy proxy.example: ")
		require.NotContains(t, err.Error(), "secret")
	})
}

// throughProxy connects through a proxy in memory that sends answer, whatever it is asked.
func throughProxy(t *testing.T, proxy string, answer []byte) error {
	t.Helper()
	via, err := url.Parse(proxy)
	require.NoError(t, err)
	served := make(chan struct{})
	cfg := ClientConfig{
		Proxy: http.ProxyURL(via),
		NetDial: func(context.Context, string, string) (net.Conn, error) {
			client, server := wstest.Pipe(0)
			go func() {
				defer close(served)
				defer func() { _ = server.Close() }() // never an error
				_, _ = server.Write(answer)           // the client may have closed it
				_ = server.CloseWrite()
				_, _ = io.Copy(io.Discard, server)
			}()
			return client, nil
		},
	}
	conn, err := cfg.connect(t.Context(), &url.URL{Scheme: "ws", Host: "example.com"})
	if err == nil {
		require.NoError(t, conn.Close())
	}
	<-served
	return err
}

package wsmanager_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Origins that browsers never send, and origins that only resemble the host. Those that
// net/http refuses itself do not reach the Manager.
func TestOriginTricks(t *testing.T) {
	for _, tt := range []struct {
		host, origin string
		want         int
	}{
		{"example.com", "HTTPS://EXAMPLE.COM", 101},
		{"example.com", "http://example.com:", 101},
		{"xn--bcher-kva.example", "https://xn--bcher-kva.example", 101},
		{"xn--bcher-kva.example", "https://b\u00fccher.example", 403},
		{"xn--bcher-kva.example", "https://bucher.example", 403},
		{"example.com", "http://ex\u0430mple.com", 403}, // Cyrillic small letter a
		{"example.com", "http://ex%61mple.com", 403},
		{"example.com", "http://example.com%00.evil.example", 403},
		{"example.com", "http://example.com.", 403},
		{"example.com.", "http://example.com.", 101},
		{"example.com", "http://.example.com", 403},
		{"example.com", "http://evil-example.com", 403},
		{"example.com", "http://example.com:080", 403},
		{"example.com", "http://example.com:0", 403},
		{"example.com", "http://example.com:65616", 403}, // 80 modulo 2^16
		{"example.com:80", "http://example.com:65616", 403},
		{"example.com", "http://example.com:443", 403},
		{"example.com", "https://example.com:80", 403},
		{"example.com:", "http://example.com", 403},
		{"example.com", `http://example.com\@evil.example`, 403},
		{"example.com", "http://evil.example#http://example.com", 403},
		{"example.com", "http://evil.example?http://example.com", 403},
		{"example.com", "http://example.com http://evil.example", 403},
		{"example.com", "http://example.com,http://evil.example", 403},
		{"example.com", "http://example.com?", 403},
		{"example.com", "http://example.com#", 403},
		{"example.com", "//example.com", 403},
		{"example.com", "example.com", 403},
		{"example.com", "http:example.com", 403},
		{"example.com", "ws://example.com", 403},
		{"example.com", "NULL", 403},
		{"example.com", "chrome-extension://example.com", 403},
		{"example.com", "http://" + repeat("x", 60_000) + ".example", 403},
		{"[::1]", "http://[::1]", 101},
		{"[::1]", "http://[0:0:0:0:0:0:0:1]", 101},
		{"[::1]", "http://[::1%25lo]", 403},
		{"[::1]:8080", "http://[::1]:8081", 403},
		{"127.0.0.1", "http://[::ffff:127.0.0.1]", 403},
		{"127.0.0.1", "http://127.1", 403},
		{"127.0.0.1", "http://localhost", 403},
		{"127.0.0.1", "http://2130706433", 403},
	} {
		t.Run(tt.host+" "+tt.origin[:min(len(tt.origin), 60)], func(t *testing.T) {
			m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
			req := wstest.Request(t, "http://example.com")
			req.Host = tt.host
			req.Header.Set("Origin", tt.origin)
			c := wstest.HandshakeHandler(t, m, req, nil, wstest.Memory{})
			require.Equal(t, tt.want, c.Response.StatusCode)
			if tt.want == 403 {
				require.EqualValues(t, 1, m.Stats().Refused.Origin)
			}
			c.Kill()
			require.NoError(t, m.Shutdown(t.Context()))
		})
	}
}

// A page that was loaded over plain HTTP can be modified by any attacker on its path. It was
// allowed to connect to the same host over TLS, with the cookies that TLS protects.
func TestPlainPageReachedATLSServer(t *testing.T) { onSocketDrivers(t, testPlainPageReachedATLSServer) }

func testPlainPageReachedATLSServer(t *testing.T) {
	allowed := optionsWithoutLog()
	allowed.Origins.Allowed = []string{"http://example.com"}
	for _, tt := range []struct {
		name, origin string
		opts         wsmanager.Options
		want         int
	}{
		{"a page over TLS", "https://example.com", optionsWithoutLog(), 101},
		{"a plain page", "http://example.com", optionsWithoutLog(), 403},
		{"a plain page with port 443", "http://example.com:443", optionsWithoutLog(), 403},
		{"no browser", "", optionsWithoutLog(), 101},
		{"a plain page that is listed", "http://example.com", allowed, 101},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := wsmanager.MustNew(wsmanager.Callbacks{}, onDriver(t, tt.opts))
			srv := start(t, m, func(srv *httptest.Server) { srv.StartTLS() })
			require.Equal(t, tt.want, handshakeTLS(t, srv, "example.com", tt.origin).Response.StatusCode)
		})
	}
}

// handshakeTLS sends a handshake with this Host and Origin over TLS.
func handshakeTLS(t *testing.T, srv *httptest.Server, host, origin string) *wstest.Client {
	t.Helper()
	pool := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com"})
	require.NoError(t, err)
	req := wstest.Request(t, srv.URL)
	req.Host = host
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	return wstest.HandshakeOn(t, conn, req, nil)
}

// Behind a proxy that terminates TLS, the server can't detect TLS. An option requires secure
// origins instead.
func TestSecureOriginsOnly(t *testing.T) { onEachDriver(t, testSecureOriginsOnly) }

func testSecureOriginsOnly(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Origins.SecureOnly = true
	opts.Origins.Allowed = []string{"http://dev.example.com:3000"}
	_, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	for origin, want := range map[string]int{
		"https://example.com":         101,
		"http://example.com":          403,
		"http://dev.example.com:3000": 101,
	} {
		req := wstest.Request(t, url)
		req.Host = "example.com"
		req.Header.Set("Origin", origin)
		require.Equal(t, want, handshakeOver(t, req, nil).Response.StatusCode, origin)
	}
}

// New rejects allowed origins that can never match.
func TestAllowedOriginsThatNoBrowserSends(t *testing.T) {
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Origins: wsmanager.Origins{Allowed: []string{
		"https://b\u00fccher.example", "https://[fe80::1%25eth0]", "https://example.com:0443", "https://example.com:70000", "https://example.com/",
	}}})
	for _, want := range []string{
		`"https://b` + "\u00fc" + `cher.example" has a host that no browser sends: write it in its ASCII form (xn--…)`,
		`"https://[fe80::1%25eth0]" has a host that no browser sends`,
		`"https://example.com:0443" has an invalid port`,
		`"https://example.com:70000" has an invalid port`,
		`"https://example.com/" must be scheme, host and port only`,
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Origins: wsmanager.Origins{Allowed: []string{"https://[2001:DB8:0:0::1]"}}})
	require.NoError(t, err, "a browser sends https://[2001:db8::1]")
}

// A subprotocol is used only if the client has offered it and OnAccept has chosen it, compared
// exactly.
func TestSubprotocolConfusion(t *testing.T) { onEachDriver(t, testSubprotocolConfusion) }

func testSubprotocolConfusion(t *testing.T) {
	for _, tt := range []struct {
		name    string
		offered []string
		chosen  string
		status  int
	}{
		{"one of a list", []string{"superchat, chat", "v2"}, "chat", 101},
		{"a part of one", []string{"superchat"}, "chat", 500},
		{"another case", []string{"Chat"}, "chat", 500},
		{"two at once", []string{"chat, v2"}, "chat, v2", 500},
		{"none was offered", nil, "chat", 500},
		{"an empty list", []string{" , ,"}, "chat", 500},
		{"none is chosen", []string{"chat"}, "", 101},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, url := serve(t, wsmanager.Callbacks{
				OnAccept: func(*http.Request) (wsmanager.Accept, error) {
					return wsmanager.Accept{Subprotocol: tt.chosen}, nil
				},
			}, optionsWithoutLog(), nil)
			req := wstest.Request(t, url)
			req.Header["Sec-Websocket-Protocol"] = tt.offered
			c := handshakeOver(t, req, nil)
			require.Equal(t, tt.status, c.Response.StatusCode)
			if tt.status == 101 {
				require.Equal(t, tt.chosen, c.Response.Header.Get("Sec-WebSocket-Protocol"))
				require.Equal(t, tt.chosen, onlyConn(t, m).Subprotocol())
			} else {
				require.Empty(t, c.Response.Header.Values("Sec-WebSocket-Protocol"))
			}
		})
	}
}

// If other middleware had set the header, the client received a subprotocol that OnAccept had
// not chosen.
func TestSubprotocolSetAboveReachedTheClient(t *testing.T) {
	onEachDriver(t, testSubprotocolSetAboveReachedTheClient)
}

func testSubprotocolSetAboveReachedTheClient(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Sec-WebSocket-Protocol", "admin")
			m.ServeHTTP(w, r)
		})
	})
	c := dialOver(t, url, http.Header{"Sec-Websocket-Protocol": {"admin"}})
	require.Empty(t, c.Response.Header.Values("Sec-WebSocket-Protocol"))
}

// No value from OnAccept can inject a header or a response. Values that net/http would drop or
// change silently cause an error.
func TestHeaderInjection(t *testing.T) { onEachDriver(t, testHeaderInjection) }

func testHeaderInjection(t *testing.T) {
	const evil = "x\r\nSet-Cookie: session=evil\r\n\r\nHTTP/1.1 200 OK"
	header := func(name, value string) func(*http.Request) (wsmanager.Accept, error) {
		return func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Header: http.Header{name: {value}}}, nil
		}
	}
	for _, tt := range []struct {
		name   string
		accept func(*http.Request) (wsmanager.Accept, error)
		status int
		body   string
	}{
		{"a value", header("X-Room", evil), 500, "The server failed to accept the connection.\n"},
		{"a value with NUL", header("X-Room", "a\x00b"), 500, "The server failed to accept the connection.\n"},
		{"a value with a tab and UTF-8", header("X-Room", "a\tb\u00fc"), 101, ""},
		{"a name", header(evil, "x"), 500, "The server failed to accept the connection.\n"},
		{"an empty name", header("", "x"), 500, "The server failed to accept the connection.\n"},
		{"a name with a colon", header("X-A:", "x"), 500, "The server failed to accept the connection.\n"},
		{"a sub-protocol that a component put into the offer", func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Subprotocol: evil}, nil
		}, 500, "The server failed to accept the connection.\n"},
		{"a text for the client", func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{}, wsmanager.Reject(403, evil+"<script>alert(1)</script>")
		}, 403, evil + "<script>alert(1)</script>\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, url := serve(t, wsmanager.Callbacks{OnAccept: tt.accept}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header["Sec-Websocket-Protocol"] = []string{evil} // a client can't send this
					m.ServeHTTP(w, r)
				})
			})
			c := handshakeOver(t, wstest.Request(t, url), nil)
			require.Equal(t, tt.status, c.Response.StatusCode)
			require.Empty(t, c.Response.Header.Values("Set-Cookie"))
			if tt.status == 101 {
				return
			}
			require.Equal(t, "text/plain; charset=utf-8", c.Response.Header.Get("Content-Type"))
			require.Equal(t, "nosniff", c.Response.Header.Get("X-Content-Type-Options"))
			body, err := io.ReadAll(c.Response.Body)
			require.NoError(t, err)
			require.Equal(t, tt.body, string(body))
		})
	}
}

// At each refusal, a client could write as much data into the log as net/http accepts in
// headers.
func TestRefusalsLoggedAllThatWasSent(t *testing.T) {
	onEachDriver(t, testRefusalsLoggedAllThatWasSent)
}

func testRefusalsLoggedAllThatWasSent(t *testing.T) {
	long := repeat("x", 10_000)
	for name, spoil := range map[string]func(*http.Request){
		"path":    func(r *http.Request) { r.URL.Path += "/" + long; r.Header.Del("Sec-WebSocket-Key") },
		"origin":  func(r *http.Request) { r.Header.Set("Origin", "http://"+long) },
		"version": func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", long) },
		"method":  func(r *http.Request) { r.Method = long },
		"sub-protocol": func(r *http.Request) {
			r.Header.Set("Sec-WebSocket-Protocol", "offered")
			r.Header.Set("X-Choose", long)
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts, log := logged()
			_, url := serve(t, wsmanager.Callbacks{
				OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
					return wsmanager.Accept{Subprotocol: r.Header.Get("X-Choose")}, nil
				},
			}, opts, nil)
			if name == "path" || name == "method" {
				needH1(t, "there is no key to leave out, and the method is CONNECT")
			}
			req := wstest.Request(t, url)
			spoil(req)
			require.GreaterOrEqual(t, handshakeOver(t, req, nil).Response.StatusCode, 400)
			require.Less(t, len(log.await(t, 1)[0]), 1000)
		})
	}
}

// No client input begins a new log record, in either log format.
func TestLogInjection(t *testing.T) { onEachDriver(t, testLogInjection) }

func testLogInjection(t *testing.T) {
	const evil = "\nlevel=ERROR msg=forged\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\x1b[2J"
	for _, format := range []string{"text", "JSON"} {
		t.Run(format, func(t *testing.T) {
			j := newJournal()
			var h slog.Handler = slog.NewTextHandler(j, nil)
			if format == "JSON" {
				h = slog.NewJSONHandler(j, nil)
			}
			_, url := serve(t, wsmanager.Callbacks{}, wsmanager.Options{Logger: slog.New(h)}, nil)
			c := dialOver(t, url, nil)
			c.SendClose(4000, evil)
			require.Equal(t, evil, c.ExpectClose(4000))
			lines := j.await(t, 1)
			require.NotContains(t, lines[0], "\n")
			require.NotContains(t, lines[0], "\x1b")
			require.Contains(t, lines[0], "forged", "the input is logged, quoted")
		})
	}
}

// Internal errors appear in the log only. A close frame contains only its code, and a refusal
// only its fixed text.
func TestNothingIsRevealed(t *testing.T) { onEachDriver(t, testNothingIsRevealed) }

func testNothingIsRevealed(t *testing.T) {
	secret := errors.New("pq: password authentication failed for user root at 10.1.2.3")
	cb := wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
			switch string(m.Payload) {
			case "error":
				return secret
			case "panic":
				panic(secret)
			case "close error":
				return &wsmanager.CloseError{Code: 4000, Reason: "public", Err: secret}
			}
			return nil
		},
	}
	opts := optionsWithoutLog()
	opts.Limits.MessageRate, opts.Limits.MessageBurst = 0.001, 3
	_, url := serve(t, cb, opts, nil)
	for _, tt := range []struct {
		do     func(*wstest.Client)
		code   int
		reason string
	}{
		{func(c *wstest.Client) { c.SendText("error") }, 1011, ""},
		{func(c *wstest.Client) { c.SendText("panic") }, 1011, ""},
		{func(c *wstest.Client) { c.SendText("close error") }, 4000, "public"},
		{func(c *wstest.Client) { c.SendRaw([]byte{0xff, 0xff}) }, 1002, ""},
		{func(c *wstest.Client) { c.SendRaw(wstest.Frame(ws.OpText, true, []byte("\xff"))) }, 1007, ""},
		{func(c *wstest.Client) { c.SendRaw(wstest.Frame(ws.OpText, true, make([]byte, 70_000))[:20]) }, 1009, ""}, // the header alone exceeds the limit
		{func(c *wstest.Client) {
			for range 4 {
				c.SendText("x")
			}
		}, 1008, ""},
	} {
		c := dialOver(t, url, nil)
		tt.do(c)
		require.Equal(t, tt.reason, c.ExpectClose(tt.code), "with %d", tt.code)
	}
}

// DNS rebinding: an attacker's host name that resolves to this server is same-origin by its
// own headers. The defence is to serve only known host names.
func TestRebinding(t *testing.T) { onEachDriver(t, testRebinding) }

func testRebinding(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "app.example.com" {
				http.Error(w, "There is no such site here.", http.StatusMisdirectedRequest)
				return
			}
			m.ServeHTTP(w, r)
		})
	})
	for host, want := range map[string]int{"app.example.com": 101, "evil.example": 421} {
		req := wstest.Request(t, url)
		req.Host = host
		req.Header.Set("Origin", "http://"+host)
		require.Equal(t, want, handshakeOver(t, req, nil).Response.StatusCode)
	}
}

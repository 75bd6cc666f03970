package wsmanager_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// compressing returns options without a log that compress every message.
func compressing() wsmanager.Options {
	opts := optionsWithoutLog()
	opts.Compression = wsmanager.Compression{Enabled: true, Threshold: 1}
	return opts
}

const (
	agreed   = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	agreed15 = agreed + "; server_max_window_bits=15"
)

// offerCases are offers of a client, and the server's answer.
var offerCases = []struct {
	name   string
	offers []string
	want   string
}{
	{"none", nil, ""},
	{"plain", []string{"permessage-deflate"}, agreed},
	{"as browsers offer it", []string{"permessage-deflate; client_max_window_bits"}, agreed},
	{"as the npm package ws offers it", []string{"permessage-deflate; client_max_window_bits"}, agreed},
	{"both contexts", []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}, agreed},
	{"without spaces", []string{"permessage-deflate;client_max_window_bits;server_no_context_takeover"}, agreed},
	{"spaces and tabs everywhere", []string{"\tpermessage-deflate ;\tclient_max_window_bits =  10 , "}, agreed},
	{"a window of the client", []string{"permessage-deflate; client_max_window_bits=8"}, agreed},
	{"a quoted value", []string{`permessage-deflate; client_max_window_bits="10"`}, agreed},
	{"a quoted value with an escape", []string{`permessage-deflate; client_max_window_bits="1\0"`}, agreed},
	{"our biggest window", []string{"permessage-deflate; server_max_window_bits=15"}, agreed15},
	{"our biggest window, and theirs", []string{"permessage-deflate; server_max_window_bits=15; client_max_window_bits=15"}, agreed15},

	{"a smaller window than ours", []string{"permessage-deflate; server_max_window_bits=14"}, ""},
	{"the smallest window", []string{"permessage-deflate; server_max_window_bits=8"}, ""},
	{"a window beyond the RFC", []string{"permessage-deflate; server_max_window_bits=16"}, ""},
	{"a window of the client beyond the RFC", []string{"permessage-deflate; client_max_window_bits=16"}, ""},
	{"a window of the client below the RFC", []string{"permessage-deflate; client_max_window_bits=7"}, ""},
	{"a leading zero", []string{"permessage-deflate; server_max_window_bits=015"}, ""},
	{"a leading zero of the client", []string{"permessage-deflate; client_max_window_bits=08"}, ""},
	{"a window without bits", []string{"permessage-deflate; server_max_window_bits"}, ""},
	{"a window that is not a number", []string{"permessage-deflate; client_max_window_bits=big"}, ""},
	{"a context with a value", []string{"permessage-deflate; server_no_context_takeover=1"}, ""},
	{"a context of the client with a value", []string{"permessage-deflate; client_no_context_takeover=true"}, ""},
	{"an unknown parameter", []string{"permessage-deflate; x"}, ""},
	{"a parameter twice", []string{"permessage-deflate; client_max_window_bits; client_max_window_bits"}, ""},
	{"a parameter twice, with other values", []string{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=14"}, ""},
	{"a context twice", []string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}, ""},
	{"another extension", []string{"x-webkit-deflate-frame"}, ""},
	{"a longer name with the same prefix", []string{"permessage-deflate2"}, ""},

	{"the first acceptable offer", []string{"permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15, permessage-deflate"}, agreed15},
	{"a fallback", []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}, agreed},
	{"in order of preference", []string{"permessage-deflate, permessage-deflate; server_max_window_bits=15"}, agreed},
	{"behind another extension", []string{"x-mux; max=\"3\", permessage-deflate"}, agreed},
	{"over several lines", []string{"x-mux", "permessage-deflate; y", "permessage-deflate"}, agreed},
	{"empty items", []string{", ,permessage-deflate,,"}, agreed},
	{"an empty line", []string{""}, ""},

	// Lists that cannot be parsed are ignored: no offer in them is accepted.
	{"no name", []string{"; client_max_window_bits"}, ""},
	{"no parameter", []string{"permessage-deflate;"}, ""},
	{"no value", []string{"permessage-deflate; client_max_window_bits="}, ""},
	{"an empty value", []string{`permessage-deflate; client_max_window_bits=""`}, ""},
	{"a semicolon at the end of a good offer", []string{"permessage-deflate; client_max_window_bits;"}, ""},
	{"a semicolon at the end of a line", []string{"permessage-deflate", "x-mux;"}, ""},
	{"only semicolons", []string{";;"}, ""},
	{"a quote that does not end in one line of two", []string{`x; a="`, "permessage-deflate"}, ""},
	{"bytes that are not ASCII", []string{"permessage-d\xe9flate"}, ""},
	{"a quote that does not end", []string{`permessage-deflate; client_max_window_bits="10`}, ""},
	{"a quoted value that is not a token", []string{`permessage-deflate; client_max_window_bits="1 0"`}, ""},
	{"two names", []string{"permessage-deflate permessage-deflate"}, ""},
	{"an invalid offer after a valid one", []string{"permessage-deflate, @"}, ""},
}

func TestNegotiation(t *testing.T) { onEachDriver(t, testNegotiation) }

func testNegotiation(t *testing.T) {
	m, url := serve(t, echoing, compressing(), nil)
	accepted := uint64(0)
	for _, tt := range offerCases {
		t.Run(tt.name, func(t *testing.T) {
			req := wstest.Request(t, url)
			req.Header["Sec-WebSocket-Extensions"] = tt.offers
			c := handshakeOver(t, req, nil)
			require.Equal(t, 101, c.Response.StatusCode)
			if tt.want == "" {
				require.NotContains(t, c.Response.Header, "Sec-Websocket-Extensions")
			} else {
				require.Equal(t, []string{tt.want}, c.Response.Header["Sec-Websocket-Extensions"])
				accepted++
			}
			text := repeat("tick tock ", 100) // the connection works with and without compression
			c.SendText(text)
			c.ExpectText(text)
			require.Equal(t, accepted, m.Stats().Compressed.Accepted)
			require.Equal(t, accepted, m.Stats().Compressed.Out)
		})
	}
}

// With compression disabled every offer is treated as an unknown extension, however it is
// written.
func TestNoNegotiation(t *testing.T) { onEachDriver(t, testNoNegotiation) }

func testNoNegotiation(t *testing.T) {
	_, url := serve(t, echoing, optionsWithoutLog(), nil)
	for _, tt := range offerCases {
		req := wstest.Request(t, url)
		req.Header["Sec-WebSocket-Extensions"] = tt.offers
		c := handshakeOver(t, req, nil)
		require.Equal(t, 101, c.Response.StatusCode, tt.name)
		require.NotContains(t, c.Response.Header, "Sec-Websocket-Extensions", tt.name)
	}
}

// The handshake response has only our answer to the extensions, even if outer middleware
// has set one. Its other headers are sent.
func TestExtensionsSetAbove(t *testing.T) { onEachDriver(t, testExtensionsSetAbove) }

func testExtensionsSetAbove(t *testing.T) {
	_, url := serve(t, echoing, compressing(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Sec-Websocket-Extensions"] = []string{"permessage-deflate; client_max_window_bits=9", "x"}
			w.Header().Set("X-Above", "yes")
			m.ServeHTTP(w, r)
		})
	})
	offer := http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate"}}
	for _, tt := range []struct {
		offer http.Header
		want  []string
	}{{offer, []string{agreed}}, {nil, nil}} {
		c := dialOver(t, url, tt.offer)
		require.Equal(t, tt.want, c.Response.Header["Sec-Websocket-Extensions"])
		require.Equal(t, "yes", c.Response.Header.Get("X-Above"))
		c.SendText(repeat("x", 1000))
		c.ExpectText(repeat("x", 1000))
	}
}

// Compression does not affect the values that OnAccept has set.
func TestCompressionBesideAccept(t *testing.T) { onEachDriver(t, testCompressionBesideAccept) }

func testCompressionBesideAccept(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{User: r.URL.Query().Get("user"), Subprotocol: "chat", Value: 7, Header: http.Header{"X-Room": {"1"}}}, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if v, _ := wsmanager.Value[int](c); v != 7 {
				return errors.New("wrong value")
			}
			c.Manager().Users(c.User()).Send(m)
			return nil
		},
	}, compressing(), nil)
	header := http.Header{"Sec-WebSocket-Protocol": {"chat"}, "Sec-WebSocket-Extensions": {"permessage-deflate"}}
	ann, bob := dialOver(t, url+"?user=ann", header), dialOver(t, url+"?user=bob", header)
	for _, c := range []*wstest.Client{ann, bob} {
		require.Equal(t, "chat", c.Response.Header.Get("Sec-WebSocket-Protocol"))
		require.Equal(t, agreed, c.Response.Header.Get("Sec-WebSocket-Extensions"))
		require.Equal(t, "1", c.Response.Header.Get("X-Room"))
		c.SendText(repeat("mine ", 50))
		f, err := c.ReadFrame()
		require.NoError(t, err)
		require.True(t, f.Header.Rsv1())
	}
}

// OnAccept declines compression for one connection, and the choice is made after it: the
// offer is as good as any other.
func TestOnAcceptDeclinesCompression(t *testing.T) { onEachDriver(t, testOnAcceptDeclinesCompression) }

func testOnAcceptDeclinesCompression(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			a := wsmanager.Accept{User: r.URL.Query().Get("user"), Groups: []string{"all"}}
			if strings.Contains(r.UserAgent(), "Safari/534") {
				a.Compression = wsmanager.CompressionOff
			}
			return a, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Group("all").Send(m)
			return nil
		},
	}, compressing(), nil)
	header := http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate; client_max_window_bits"}}
	old := header.Clone()
	old.Set("User-Agent", "Version/5.1 Safari/534.57")
	text := repeat("tick tock ", 100)
	for _, user := range []string{"", "?user=ann"} {
		off, on := dialOver(t, url+user, old), dialOver(t, url+user, header)
		require.NotContains(t, off.Response.Header, "Sec-Websocket-Extensions")
		require.Equal(t, agreed, on.Response.Header.Get("Sec-WebSocket-Extensions"))
		off.SendText(text)
		for c, compressed := range map[*wstest.Client]bool{off: false, on: true} {
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, compressed, f.Header.Rsv1())
		}
		// A client that compresses although the offer was declined breaks the protocol.
		off.SendRaw(compressedFrames(t, ws.OpText, []byte(text), 6, 0))
		off.ExpectClose(1002)
		on.Kill()
	}
	require.EqualValues(t, 2, m.Stats().Compressed.Accepted)
}

// A choice that does not exist is a programming error.
func TestUnknownCompressionChoice(t *testing.T) {
	opts, log := logged()
	_, url := serve(t, wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) {
		return wsmanager.Accept{Compression: wsmanager.CompressionOff + 1}, nil
	}}, opts, nil)
	require.Equal(t, 500, handshakeOver(t, wstest.Request(t, url), nil).Response.StatusCode)
	require.Contains(t, log.record(t, 0)["err"], "the Compression 2 does not exist")
	require.Equal(t, "by options", wsmanager.CompressionByOptions.String())
	require.Equal(t, "off", wsmanager.CompressionOff.String())
	require.Equal(t, "unknown", wsmanager.CompressionChoice(2).String())
}

func TestBadCompressionOptions(t *testing.T) {
	for _, tt := range []struct {
		opts wsmanager.Compression
		want string
	}{
		{wsmanager.Compression{Level: 10}, "Options.Compression.Level: 10 is not a level"},
		{wsmanager.Compression{Level: -1}, "Options.Compression.Level: -1 is not a level"},
		{wsmanager.Compression{Level: -3}, "Options.Compression.Level: -3 is not a level"},
		{wsmanager.Compression{Enabled: true, Threshold: -1}, "Options.Compression.Threshold: -1 is negative"},
	} {
		_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Compression: tt.opts, Outbox: wsmanager.Outbox{Messages: -1}})
		require.ErrorContains(t, err, tt.want)
		require.ErrorContains(t, err, "Outbox.Messages", "all mistakes are reported at once")
	}
	for level := -2; level <= 9; level++ {
		if level != -1 {
			wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{Compression: wsmanager.Compression{Level: level}})
		}
	}
}

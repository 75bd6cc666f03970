package hub_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A negotiation, its parameters and the connection that it leads to.
func TestNegotiate(t *testing.T) { onEachDriver(t, testNegotiate) }

func testNegotiate(t *testing.T) {
	_, url := serve(t, nil, hub.Options{})
	k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
	require.Equal(t, 1, k.NegotiateVersion)
	require.NotEqual(t, k.ConnectionID, k.ConnectionToken)
	require.GreaterOrEqual(t, len(k.ConnectionToken), 22, "128 bits")
	require.False(t, k.UseStatefulReconnect, "the hub does not support it")
	require.Len(t, k.AvailableTransports, 1)
	require.Equal(t, "WebSockets", k.AvailableTransports[0].Transport)
	require.Equal(t, []string{"Text", "Binary"}, k.AvailableTransports[0].TransferFormats)

	other := negotiate(t, url, "NEGOTIATEVERSION=99")
	require.Equal(t, 1, other.NegotiateVersion, "the newest version of both sides; names match case-insensitively")
	require.NotEqual(t, k.ConnectionID, other.ConnectionID)
	require.NotEqual(t, k.ConnectionToken, other.ConnectionToken)

	old := negotiate(t, url, "")
	require.Zero(t, old.NegotiateVersion)
	require.Empty(t, old.ConnectionToken)
	dial(t, url+"?id="+old.ConnectionID).shake()

	for _, version := range []string{"x", "-1", "1.0"} {
		require.Contains(t, negotiate(t, url, "negotiateVersion="+version).Error, version)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		req, err := http.NewRequestWithContext(t.Context(), method, url+"/negotiate", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
		require.Equal(t, "POST", res.Header.Get("Allow"))
	}

	_, url = serve(t, nil, hub.Options{StatefulReconnect: true})
	require.True(t, negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true").UseStatefulReconnect)
	require.False(t, negotiate(t, url, "negotiateVersion=1").UseStatefulReconnect, "the client has not requested it")
	require.False(t, negotiate(t, url, "useStatefulReconnect=true").UseStatefulReconnect, "version 0 does not support it")
}

// A token makes one connection. The id is not a token.
func TestTokens(t *testing.T) { onEachDriver(t, testTokens) }

func testTokens(t *testing.T) {
	_, url := serve(t, hub.Methods{"ID": func(ctx *hub.Context) string { return ctx.ConnectionID() }}, hub.Options{})
	k := negotiate(t, url, "negotiateVersion=1")
	require.Equal(t, http.StatusNotFound, status(t, url+"?id=unknown"))
	require.Equal(t, http.StatusNotFound, status(t, url+"?id="+k.ConnectionID), "the id is not a token")

	p := dial(t, url+"?id="+k.ConnectionToken)
	require.Equal(t, http.StatusConflict, status(t, url+"?id="+k.ConnectionToken), "before the handshake")
	p.shake().result(`"`+k.ConnectionID+`"`, "ID")
	require.Equal(t, http.StatusConflict, status(t, url+"?id="+k.ConnectionToken))
	p.SendClose(1000, "")
	p.ExpectClose(1000)
	require.Eventually(t, func() bool { return status(t, url+"?id="+k.ConnectionToken) == http.StatusNotFound }, wstest.Patience, time.Millisecond)
}

// Requests to the hub without a WebSocket.
func TestOtherTransports(t *testing.T) { onEachDriver(t, testOtherTransports) }

func testOtherTransports(t *testing.T) {
	_, url := serve(t, nil, hub.Options{})
	k := negotiate(t, url, "negotiateVersion=1")
	for _, row := range []struct {
		method, query string
		want          int
	}{
		{"GET", "", 400}, {"POST", "", 400}, {"DELETE", "", 400},
		{"GET", "?id=unknown", 404}, {"POST", "?id=unknown", 404}, {"DELETE", "?id=unknown", 404},
		{"GET", "?id=" + k.ConnectionToken, 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), row.method, url+row.query, nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, row.want, res.StatusCode, "%s %s", row.method, row.query)
		if row.want == 400 {
			require.Equal(t, "Connection ID required", string(body))
		}
	}
}

// Each request is authenticated, and a connection must come from the user that has negotiated it.
func TestAuthenticate(t *testing.T) { onEachDriver(t, testAuthenticate) }

func testAuthenticate(t *testing.T) {
	type claims struct{ Admin bool }
	_, url := serve(t, hub.Methods{
		"Who": func(ctx *hub.Context) []any { return []any{ctx.User(), ctx.Identity().Value.(claims).Admin} },
	}, hub.Options{Authenticate: func(_ *http.Request, token string) (hub.Identity, error) {
		switch token {
		case "":
			return hub.Identity{}, wsmanager.Reject(http.StatusUnauthorized, "A token is required.")
		case "broken":
			return hub.Identity{}, errors.New("a secret")
		}
		return hub.Identity{User: token, Value: claims{Admin: token == "ann"}}, nil
	}})
	post := func(header, query string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/negotiate"+query, nil)
		require.NoError(t, err)
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(body)
	}
	code, body := post("", "")
	require.Equal(t, http.StatusUnauthorized, code)
	require.Equal(t, "A token is required.", body)
	code, body = post("Bearer broken", "")
	require.Equal(t, http.StatusInternalServerError, code)
	require.NotContains(t, body, "secret")
	code, _ = post("bearer ann", "")
	require.Equal(t, http.StatusOK, code)
	code, _ = post("", "?access_token=ann")
	require.Equal(t, http.StatusOK, code)

	require.Equal(t, http.StatusUnauthorized, status(t, url))
	k := negotiate(t, url, "negotiateVersion=1&access_token=ann")
	require.Equal(t, http.StatusForbidden, status(t, url+"?id="+k.ConnectionToken+"&access_token=bob"), "another's connection")
	dial(t, url+"?id="+k.ConnectionToken+"&access_token=ann").shake().result(`["ann",true]`, "Who")
	p := &peer{Client: wstest.Dial(t, url, http.Header{"Authorization": {"Bearer bob"}}), t: t}
	p.shake().result(`["bob",false]`, "Who")
}

// Redirect sends clients to another server, refuses them or keeps them.
func TestRedirect(t *testing.T) { onEachDriver(t, testRedirect) }

func testRedirect(t *testing.T) {
	_, url := serve(t, nil, hub.Options{Redirect: func(r *http.Request, _ hub.Identity) (string, string, error) {
		switch r.URL.Query().Get("case") {
		case "away":
			return "https://other.example/hub", "ticket", nil
		case "told":
			return "", "", hub.Error("Come back tomorrow.")
		case "failed":
			return "", "", errors.New("secret")
		}
		return "", "", nil
	}})
	k := negotiate(t, url, "negotiateVersion=1&case=away")
	require.Equal(t, "https://other.example/hub", k.URL)
	require.Equal(t, "ticket", k.AccessToken)
	require.Empty(t, k.ConnectionID)
	require.Equal(t, "Come back tomorrow.", negotiate(t, url, "case=told").Error)
	require.NotEmpty(t, negotiate(t, url, "negotiateVersion=1").ConnectionToken)
	res, err := http.Post(url+"/negotiate?case=failed", "", nil)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
}

// All kinds of invalid first messages.
func TestHandshake(t *testing.T) { onEachDriver(t, testHandshake) }

func testHandshake(t *testing.T) {
	called := make(chan string, 10)
	_, url := serve(t, hub.Methods{"Note": func(s string) { called <- s }, "Add": func(a, b int) int { return a + b }}, hub.Options{})
	for name, talk := range map[string]func(p *peer){
		"version 2": func(p *peer) {
			p.send(`{"protocol":"json","version":2}`)
			p.expect(`{}`)
		},
		"version 0": func(p *peer) {
			p.send(`{"protocol":"json","version":0}`)
			p.expect(`{}`)
		},
		"version -1": func(p *peer) {
			p.send(`{"protocol":"json","version":-1}`)
			p.expect(`{}`)
		},
		"a name in other case": func(p *peer) {
			p.send(`{"protocol":"JSon","version":1}`)
			p.expect(`{}`)
		},
		"in a binary message": func(p *peer) {
			p.SendBinary([]byte("{\"protocol\":\"json\",\"version\":1}\x1e"))
			p.ExpectBinary([]byte("{}\x1e"))
		},
		"unknown members": func(p *peer) {
			p.send(`{"version":1,"x":{"y":[]},"protocol":"json"}`)
			p.expect(`{}`)
		},
		"over several messages": func(p *peer) {
			p.SendText(`{"protocol":`)
			p.SendText(`"json","vers`)
			p.SendText("ion\":1}")
			p.SendText("\x1e")
			p.expect(`{}`)
		},
		"with a call in the same message": func(p *peer) {
			p.send(`{"protocol":"json","version":1}`, invocation("1", "Add", 1, 2))
			p.ExpectText("{}\x1e") // in a WebSocket message of its own
			p.expect(`{"type":3,"invocationId":"1","result":3}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, url)
			talk(p)
			p.result("3", "Add", 1, 2)
		})
	}
	for name, row := range map[string]struct{ text, want string }{
		"unknown protocol":                   {`{"protocol":"x","version":1}`, `{"error":"The protocol 'x' is not supported."}`},
		"unknown version":                    {`{"protocol":"json","version":3}`, `{"error":"The server does not support this version of the protocol 'json'."}`},
		"a call":                             {invocation("1", "Note", "never"), `{"error":"The first message must be a handshake request."}`},
		"a call with members of a handshake": {`{"protocol":"json","version":1,"type":1,"target":"Note","arguments":["never"]}`, `{"error":"The first message must be a handshake request."}`},
		"without a protocol":                 {`{"version":1}`, `{"error":"The first message must be a handshake request."}`},
		"not JSON":                           {`hello`, `{"error":"The first message must be a handshake request."}`},
		"too long":                           {strings.Repeat(" ", 40_000), `{"error":"Handshake was canceled."}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, url)
			p.send(row.text, invocation("", "Note", "never"))
			require.Equal(t, row.want, p.readToClose(1000))
		})
	}
	p := connect(t, url)
	p.send(invocation("1", "Note", "valid"))
	p.expect(`{"type":3,"invocationId":"1","result":null}`)
	require.Equal(t, "valid", <-called, "calls after an invalid handshake do not run")
}

// token negotiates with a handler, without a socket.
func token(t *testing.T, h http.Handler) string {
	t.Helper()
	return ticketOf(t, h, "negotiateVersion=1").ConnectionToken
}

// An upgrade that the hub does not answer with a 101 closes the connection, as each refused
// handshake does.
func TestRefusedUpgradesCloseTheConnection(t *testing.T) {
	_, url := serve(t, nil, hub.Options{})
	for _, tt := range []struct {
		path, protocol string
		status         int
	}{
		{"/negotiate", "websocket", http.StatusMethodNotAllowed},
		{"", "h2c", http.StatusBadRequest},
		{"?id=unknown", "h2c", http.StatusNotFound},
		{"?id=unknown", "websocket", http.StatusNotFound},
	} {
		req := wstest.Request(t, url+tt.path)
		req.Header.Set("Upgrade", tt.protocol)
		res := wstest.Handshake(t, req, nil).Response
		require.Equal(t, tt.status, res.StatusCode, tt)
		require.True(t, res.Close, tt)
	}
}

package hub_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// answerTo sends a request without a WebSocket, and returns the answer and its body.
func answerTo(t *testing.T, method, url, accept string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// Requests that are neither negotiations nor handshakes are answered as by ASP.NET Core.
func TestRefusedRequests(t *testing.T) { onEachDriver(t, testRefusedRequests) }

func testRefusedRequests(t *testing.T) {
	_, url := serve(t, nil, hub.Options{})
	fresh := "?id=" + negotiate(t, url, "negotiateVersion=1").ConnectionToken
	used := "?id=" + negotiate(t, url, "negotiateVersion=1").ConnectionToken
	dial(t, url+used).shake()
	const noID, unknown, events = "Connection ID required", "No Connection with that ID", "text/event-stream"
	const wrongMethod, otherTransport = "POST requests are not allowed for WebSocket connections.", "Cannot change transports mid-connection"
	const noPolling, noEvents = "LongPolling transport not supported by this end point type", "ServerSentEvents transport not supported by this end point type"
	const noDelete = "Cannot terminate this connection using the DELETE endpoint."
	for _, row := range []struct {
		method, path, accept string
		status               int
		text, allow          string
	}{
		{"GET", "", "", 400, noID, ""}, {"POST", "", "", 400, noID, ""}, {"DELETE", "", "", 400, noID, ""},
		{"GET", "?id=", "", 400, noID, ""}, {"GET", "", events, 400, noID, ""},
		{"GET", "?id=x", "", 404, unknown, ""}, {"POST", "?id=x", "", 404, unknown, ""}, {"DELETE", "?id=x", "", 404, unknown, ""},
		{"GET", "?id=x", events, 404, unknown, ""},
		{"GET", fresh, "", 404, noPolling, ""}, {"GET", fresh, "text/html, Text/Event-Stream", 404, noEvents, ""},
		{"DELETE", fresh, "", 400, noDelete, ""},
		{"GET", used, "", 400, otherTransport, ""}, {"GET", used, events, 400, otherTransport, ""},
		{"POST", used, "", 405, wrongMethod, "GET"}, {"DELETE", used, "", 400, noDelete, ""},
		{"PUT", "", "", 405, "", "GET, POST, DELETE"}, {"PATCH", "?id=x", "", 405, "", "GET, POST, DELETE"},
		{"HEAD", "", "", 405, "", "GET, POST, DELETE"}, {"OPTIONS", fresh, "", 405, "", "GET, POST, DELETE"},
		{"GET", "/negotiate", "", 405, "", "POST"}, {"PUT", "/negotiate", "", 405, "", "POST"},
		{"HEAD", "/Negotiate/", "", 405, "", "POST"}, {"OPTIONS", "/negotiate/", "", 405, "", "POST"},
	} {
		res, body := answerTo(t, row.method, url+row.path, row.accept)
		require.Equal(t, row.status, res.StatusCode, row)
		require.Equal(t, row.text, body, row)
		require.Equal(t, row.allow, res.Header.Get("Allow"), row)
		require.Equal(t, "text/plain", res.Header.Get("Content-Type"), row)
	}
}

// The path of a negotiation may end with a slash, and its case does not matter.
func TestPathsOfNegotiations(t *testing.T) {
	_, url := serve(t, nil, hub.Options{})
	for _, path := range []string{"/negotiate", "/negotiate/", "/NEGOTIATE", "/Negotiate/"} {
		res, body := answerTo(t, "POST", url+path+"?negotiateVersion=1", "")
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Contains(t, body, `{"negotiateVersion":1,"connectionId":"`, path)
		require.Equal(t, byte('}'), body[len(body)-1], "no line break at the end")
	}
	for _, path := range []string{"/renegotiate", "/negotiated", "/negotiate/x"} {
		res, _ := answerTo(t, "POST", url+path, "")
		require.Equal(t, http.StatusBadRequest, res.StatusCode, path)
	}
}

// The text of a refusal has no line break at its end, and is empty if none is given, for negotiations and handshakes.
func TestTextsOfRefusals(t *testing.T) { onEachDriver(t, testTextsOfRefusals) }

func testTextsOfRefusals(t *testing.T) {
	_, url := serve(t, nil, hub.Options{Authenticate: func(r *http.Request, token string) (hub.Identity, error) {
		if token == "ok" {
			return hub.Identity{}, nil
		}
		return hub.Identity{}, wsmanager.Reject(http.StatusForbidden, r.URL.Query().Get("text"))
	}})
	for _, row := range []struct{ query, text, mediaType string }{
		{"", "", "text/plain"},
		{"text=Not+you.", "Not you.", "text/plain"},
		{"text=two%0Alines", "two\nlines", "text/plain"},
		{"text=Zu+sp%C3%A4t.", "Zu spät.", "text/plain; charset=utf-8"},
	} {
		res, body := answerTo(t, "POST", url+"/negotiate?"+row.query, "")
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		require.Equal(t, row.text, body)
		require.Equal(t, row.mediaType, res.Header.Get("Content-Type"))
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))

		shaken := wstest.Handshake(t, wstest.Request(t, url+"?"+row.query), nil).Response
		refusal, err := io.ReadAll(shaken.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, shaken.StatusCode)
		require.Equal(t, row.text, string(refusal))
		require.Equal(t, row.mediaType, shaken.Header.Get("Content-Type"))
		require.Equal(t, "no-store", shaken.Header.Get("Cache-Control"))
		require.True(t, shaken.Close)
	}
	unknown := wstest.Handshake(t, wstest.Request(t, url+"?access_token=ok&id=x"), nil).Response
	body, err := io.ReadAll(unknown.Body)
	require.NoError(t, err)
	require.Equal(t, "No Connection with that ID", string(body))
}

// During Shutdown both requests are refused with the same text.
func TestTextsDuringShutdown(t *testing.T) {
	h, url := serve(t, nil, hub.Options{})
	require.NoError(t, h.Shutdown(t.Context()))
	res, body := answerTo(t, "POST", url+"/negotiate", "")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Equal(t, "The server is shutting down.", body)
	shaken := wstest.Handshake(t, wstest.Request(t, url), nil).Response
	refusal, err := io.ReadAll(shaken.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, shaken.StatusCode)
	require.Equal(t, "The server is shutting down.", string(refusal))
}

// A handler in front may have set headers for its own answer.
func TestRefusalReplacesPlannedHeaders(t *testing.T) {
	h, err := hub.New(nil, optionsWithoutLog())
	require.NoError(t, err)
	w := httptest.NewRecorder()
	w.Header().Set("Content-Length", "7")
	w.Header().Set("Content-Type", "text/html")
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hub", nil))
	require.Equal(t, "Connection ID required", w.Body.String())
	require.Empty(t, w.Header().Get("Content-Length"))
	require.Equal(t, "text/plain", w.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
}

// After a violation or a limit a client with automatic reconnect comes back; a client without it reads the reason.
func TestConnectionAfterViolation(t *testing.T) { onEachDriver(t, testConnectionAfterViolation) }

func testConnectionAfterViolation(t *testing.T) {
	_, url := serve(t, hub.Methods{"Echo": func(s string) string { return s }}, hub.Options{MaxReceiveSize: 1000})
	big := string(make([]byte, 2000))
	again := make(chan string, 1)
	c, err := hub.Dial(t.Context(), url, hub.DialOptions{
		Logger:          optionsWithoutLog().Logger,
		ReconnectDelays: []time.Duration{0},
		OnReconnected:   func(id string) { again <- id },
	})
	require.NoError(t, err)
	defer c.Close()
	first := c.ID()
	_, err = hub.Invoke[string](t.Context(), c, "Echo", big)
	var closed *hub.ClosedError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, "Connection closed with an error.", closed.Text)
	require.ErrorIs(t, err, hub.ErrDisconnected)
	require.NotEqual(t, first, <-again)
	text, err := hub.Invoke[string](t.Context(), c, "Echo", "small")
	require.NoError(t, err)
	require.Equal(t, "small", text)

	once, err := hub.Dial(t.Context(), url, hub.DialOptions{Logger: optionsWithoutLog().Logger, ReconnectDelays: []time.Duration{}})
	require.NoError(t, err)
	_, err = hub.Invoke[string](t.Context(), once, "Echo", big)
	require.ErrorAs(t, err, &closed)
	<-once.Done()
	require.ErrorAs(t, once.Err(), &closed)
}

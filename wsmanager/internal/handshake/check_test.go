package handshake

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const testKey = "dGhlIHNhbXBsZSBub25jZQ==" // of RFC 6455, section 1.3

// request returns a valid handshake over HTTP/1.1.
func request() *http.Request {
	r := httptest.NewRequest("GET", "http://example.com/ws", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": testKey} {
		r.Header.Set(name, value)
	}
	return r
}

// streamRequest returns a valid handshake over HTTP/2, as net/http passes it on.
func streamRequest() *http.Request {
	return &http.Request{
		Method: http.MethodConnect, Proto: "HTTP/2.0", ProtoMajor: 2, ContentLength: -1, Host: "example.com", URL: &url.URL{Path: "/ws"},
		Header: http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}},
	}
}

func TestCheck(t *testing.T) {
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	none := func(*http.Request) {}
	for _, tt := range []struct {
		name   string
		make   func() *http.Request
		change func(*http.Request)
		reason Reason
		status int // 0 if the request is valid
		header http.Header
	}{
		{"HTTP/1.1", request, none, 0, 0, nil},
		{"lists in any case", request, func(r *http.Request) {
			set("Connection", "keep-alive, upgrade")(r)
			set("Upgrade", "h2c", "WebSocket")(r)
		}, 0, 0, nil},
		{"spaces around the key", request, set("Sec-WebSocket-Key", " "+testKey+" "), 0, 0, nil},
		{"no Upgrade", request, set("Upgrade"), NotWebSocket, 426, http.Header{"Upgrade": {"websocket"}}},
		{"no Connection", request, set("Connection"), NotWebSocket, 426, http.Header{"Upgrade": {"websocket"}}},
		{"no Upgrade over HTTP/2", request, func(r *http.Request) { r.ProtoMajor = 2; r.Header = http.Header{} }, NotWebSocket, 426, http.Header{}},
		{"POST", request, func(r *http.Request) { r.Method = "POST" }, Malformed, 405, http.Header{"Allow": {"GET"}}},
		{"HTTP/1.0", request, func(r *http.Request) { r.Proto, r.ProtoMinor = "HTTP/1.0", 0 }, Malformed, 400, http.Header{}},
		{"version 8", request, set("Sec-WebSocket-Version", "8"), Malformed, 426, http.Header{"Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}},
		{"two versions", request, set("Sec-WebSocket-Version", "13", "13"), Malformed, 426, http.Header{"Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}},
		{"a body", request, func(r *http.Request) { r.ContentLength = 5 }, Malformed, 400, http.Header{}},
		{"no key", request, set("Sec-WebSocket-Key"), Malformed, 400, http.Header{}},
		{"two keys", request, set("Sec-WebSocket-Key", testKey, testKey), Malformed, 400, http.Header{}},
		{"a short key", request, set("Sec-WebSocket-Key", "c2hvcnQ="), Malformed, 400, http.Header{}},
		{"extensions that can't be parsed", request, set("Sec-WebSocket-Extensions", "bad;"), 0, 0, nil},
		{"a foreign origin", request, set("Origin", "http://evil.example"), ForeignOrigin, 403, http.Header{}},

		{"HTTP/2", streamRequest, none, 0, 0, nil},
		{"another protocol over HTTP/2", streamRequest, func(r *http.Request) { r.Header[":protocol"] = []string{"connect-udp"} }, NotWebSocket, 501, http.Header{}},
		{"no protocol over HTTP/2", streamRequest, func(r *http.Request) { delete(r.Header, ":protocol") }, NotWebSocket, 426, http.Header{}},
		{"version 8 over HTTP/2", streamRequest, set("Sec-WebSocket-Version", "8"), Malformed, 400, http.Header{"Sec-Websocket-Version": {"13"}}},
		{"a stream that has ended", streamRequest, func(r *http.Request) { r.ContentLength = 0 }, Malformed, 400, http.Header{}},
		{"a foreign origin over HTTP/2", streamRequest, set("Origin", "http://evil.example"), ForeignOrigin, 403, http.Header{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.make()
			tt.change(r)
			rec := httptest.NewRecorder()
			q, err := Check(rec, r, &ServerConfig{})
			if tt.status == 0 {
				require.NoError(t, err)
				require.Equal(t, r.ProtoMajor == 2, q.Stream)
				if !q.Stream {
					require.Equal(t, testKey, q.key)
				}
				require.True(t, WantsWebSocket(r))
				return
			}
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, tt.reason, refusal.Reason)
			require.Equal(t, tt.status, refusal.Status)
			require.NotEmpty(t, refusal.Text)
			require.NotEmpty(t, refusal.Error())
			require.Equal(t, tt.header, rec.Header())
			require.Zero(t, q)
		})
	}
}

func TestErrorsQuoteLittle(t *testing.T) {
	r := request()
	r.Header.Set("Sec-WebSocket-Version", strings.Repeat("x", 10_000))
	_, err := Check(httptest.NewRecorder(), r, &ServerConfig{})
	require.Error(t, err)
	require.Less(t, len(err.Error()), 2*maxQuoted)
}

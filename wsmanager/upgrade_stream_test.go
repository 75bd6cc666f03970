package wsmanager_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Over HTTP/2 the response is a 200 with the same rules as the 101: it carries the headers
// that middleware has set, all reachable writers see it, and nothing that they write gets
// between the frames.
func TestStreamBelowAnyWriter(t *testing.T) { onStreams(t, testStreamBelowAnyWriter) }

func testStreamBelowAnyWriter(t *testing.T) {
	fwd := func(w http.ResponseWriter, s *seen, name string) forwardsOpen {
		return forwardsOpen{&forwards{w, name, s}}
	}
	sto := func(w http.ResponseWriter, s *seen) *stores { return &stores{ResponseWriter: w, seen: s} }
	for name, tt := range map[string]struct {
		wrap  func(http.ResponseWriter, *seen) http.ResponseWriter
		tells []string
	}{
		"forwards":                  {func(w http.ResponseWriter, s *seen) http.ResponseWriter { return fwd(w, s, "f") }, []string{"f"}},
		"stores":                    {func(w http.ResponseWriter, s *seen) http.ResponseWriter { return storesOpen{sto(w, s)} }, []string{"stores"}},
		"stores, over an observer":  {func(w http.ResponseWriter, s *seen) http.ResponseWriter { return storesOpen{sto(fwd(w, s, "f"), s)} }, []string{"stores", "f"}},
		"stores, below an observer": {func(w http.ResponseWriter, s *seen) http.ResponseWriter { return fwd(storesOpen{sto(w, s)}, s, "f") }, []string{"stores", "f"}},
		"compresses": {func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return encodesOpen{encodes{fwd(w, s, "f").forwards}}
		}, []string{"f"}},
		"compresses when flushed": {func(w http.ResponseWriter, s *seen) http.ResponseWriter { return gzips{sto(w, s)} }, []string{"stores"}},
		"a header of its own": {func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return buffersOpen{&buffers{httptest.NewRecorder(), fwd(w, s, "f")}}
		}, []string{"f"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &seen{}
			m, url := serve(t, wsmanager.Callbacks{
				OnAccept: func(*http.Request) (wsmanager.Accept, error) {
					return wsmanager.Accept{Subprotocol: "v2", Header: http.Header{"X-Accept": {"set"}}}, nil
				},
				OnConnect: func(c *wsmanager.Conn) error { return c.Send(wsmanager.Text("hello")) },
				OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
			}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
				return serveBelowWriter(m, s, func(w http.ResponseWriter) http.ResponseWriter { return tt.wrap(w, s) })
			})
			req := wstest.Request(t, url)
			req.Header.Set("Sec-WebSocket-Protocol", "v1, v2")
			c := handshakeOver(t, req, nil)
			require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
			h := c.Response.Header
			require.Len(t, h["Date"], 1)
			delete(h, "Date")
			require.Equal(t, http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {wstest.Accept}, // added by the gateway
				"Sec-Websocket-Protocol": {"v2"}, "X-Above": {"set"}, "X-Accept": {"set"}, "X-Starting": {"set"},
			}, h)
			c.ExpectText("hello")
			c.SendText("back")
			c.ExpectText("back")
			require.Equal(t, 200, s.last("pipeline"))
			for _, name := range tt.tells {
				require.Equal(t, 200, s.last(name), name)
			}
			c.SendClose(1000, "")
			c.ExpectClose(1000)
			require.Eventually(t, func() bool { return m.All().Len() == 0 }, wstest.Patience, wstest.Patience/1e4)
		})
	}
}

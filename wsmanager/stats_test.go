package wsmanager_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestStatsOfTraffic(t *testing.T) { onEachDriver(t, testStatsOfTraffic) }

func testStatsOfTraffic(t *testing.T) {
	m, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), nil)
	require.Equal(t, wsmanager.Stats{Closed: map[wsmanager.StatusCode]uint64{}}, m.Stats())
	in, out := 0, 0
	var clients []*wstest.Client
	for range 10 {
		c := dialOver(t, url, nil)
		clients = append(clients, c)
		for _, size := range []int{0, 100, 1000, 60_000} {
			c.SendText(repeat("x", size))
			c.ExpectText(repeat("x", size))
			in += len(wstest.Frame(ws.OpText, true, make([]byte, size)))
			out += len(ws.MustCompileFrame(ws.NewTextFrame(make([]byte, size))))
		}
		c.SendPing([]byte("abc"))
		c.ExpectPong([]byte("abc"))
		in, out = in+9, out+5
	}
	traffic := func() [4]int {
		s := m.Stats()
		return [4]int{int(s.MessagesIn), int(s.BytesIn), int(s.MessagesOut), int(s.BytesOut)}
	}
	// A client may have read a message before the server counts it.
	awaitCondition(t, func() bool { return traffic() == [4]int{40, in, 40, out} })
	s := m.Stats()
	require.Equal(t, 10, s.Connections)
	require.EqualValues(t, 10, s.Accepted)

	// The counters keep the traffic of closed connections.
	for _, c := range clients {
		c.SendClose(1000, "")
		c.ExpectClose(1000)
		in, out = in+8, out+4
	}
	require.NoError(t, m.Shutdown(t.Context()))
	s = m.Stats()
	require.Zero(t, s.Connections)
	require.EqualValues(t, 10, s.Accepted)
	require.Equal(t, [4]int{40, in, 40, out}, traffic())
	require.Equal(t, map[wsmanager.StatusCode]uint64{1000: 10}, s.Closed)
	require.Zero(t, s.Dropped)
	s.Closed[1000] = 0
	require.EqualValues(t, 10, m.Stats().Closed[1000], "the map is a copy")
}

func TestStatsOfRefusals(t *testing.T) { onEachDriver(t, testStatsOfRefusals) }

func testStatsOfRefusals(t *testing.T) {
	needH1(t, "HTTP/2 has no key; see TestStreamRefusals")
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			switch r.URL.Path {
			case "/reject":
				return wsmanager.Accept{}, wsmanager.Reject(401, "no")
			case "/panic":
				panic(http.ErrAbortHandler)
			case "/fail":
				return wsmanager.Accept{}, errors.New("the database is down")
			}
			return wsmanager.Accept{}, nil
		},
	}, optionsWithoutLog(), nil)
	try := func(path string, spoil func(http.Header)) {
		req := wstest.Request(t, url+path)
		spoil(req.Header)
		handshakeOver(t, req, nil)
	}
	try("/", func(h http.Header) { h.Del("Upgrade") })
	try("/", func(h http.Header) { h.Del("Sec-WebSocket-Key") })
	try("/", func(h http.Header) { h.Set("Sec-WebSocket-Version", "8") })
	try("/", func(h http.Header) { h.Set("Origin", "http://evil.example") })
	try("/reject", func(http.Header) {})
	try("/fail", func(http.Header) {})
	_, err := http.DefaultClient.Do(wstest.Request(t, url+"/panic")) //nolint:bodyclose // no response
	require.Error(t, err, "the panic reaches the server")
	require.NoError(t, m.Shutdown(t.Context()))
	try("/", func(http.Header) {})
	require.Equal(t, wsmanager.Refused{NotWebSocket: 1, Malformed: 2, Origin: 1, Rejected: 1, Failed: 2, ShuttingDown: 1}, m.Stats().Refused)
	require.Zero(t, m.Stats().Accepted)
}

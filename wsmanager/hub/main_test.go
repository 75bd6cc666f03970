package hub_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// onEachDriver runs a test as subtests auto and goroutine. serve takes the driver of the hub's sockets from their
// names:
//
//	func TestX(t *testing.T) { onEachDriver(t, testX) }
//
// Tests of wsmanager show that connections over HTTP/2 behave in the same way.
func onEachDriver(t *testing.T, test func(*testing.T)) {
	t.Helper()
	for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(d.String(), test)
	}
}

// driverOf returns the driver that a test runs on.
func driverOf(t testing.TB) wsmanager.Driver {
	parts := strings.SplitN(t.Name(), "/", 3)
	if len(parts) > 1 && parts[1] == wsmanager.DriverGoroutine.String() {
		return wsmanager.DriverGoroutine
	}
	return wsmanager.DriverAuto
}

// optionsWithoutLog returns options without a log.
func optionsWithoutLog() hub.Options { return hub.Options{Logger: slog.New(slog.DiscardHandler)} }

// serve makes a hub and serves it at /hub. It shuts the hub down at the end of the test.
func serve(t testing.TB, methods hub.Methods, opts hub.Options) (*hub.Hub, string) {
	t.Helper()
	if opts.WebSocket.Driver == wsmanager.DriverAuto {
		opts.WebSocket.Driver = driverOf(t)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	h, err := hub.New(methods, opts)
	require.NoError(t, err)
	url := serveHandler(t, h)
	t.Cleanup(func() { _ = h.Shutdown(t.Context()) }) // the context has ended: Shutdown cuts the remaining connections and returns an error
	return h, url
}

// serveHandler serves a hub with its middleware at /hub.
func serveHandler(t testing.TB, h http.Handler) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/hub", h)
	mux.Handle("/hub/", h)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL + "/hub"
}

// closedWithError is the Close that ends the connection of a client which breaks the protocol, exceeds a limit or is silent
// for too long.
const closedWithError = `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`

// peer is a client that sends and reads JSON records.
type peer struct {
	*wstest.Client
	t    testing.TB
	rest []string // records of the last message that have not been read

	noAcks bool // skip acknowledgements, whose time depends on a timer
}

// connect connects without a negotiation and completes the handshake.
func connect(t testing.TB, url string) *peer {
	t.Helper()
	return dial(t, url).shake()
}

// dial connects without a handshake.
func dial(t testing.TB, url string) *peer {
	t.Helper()
	return &peer{Client: wstest.Dial(t, url, nil), t: t}
}

func (p *peer) shake() *peer {
	p.t.Helper()
	p.send(`{"protocol":"json","version":1}`)
	p.expect(`{}`)
	return p
}

// send sends records in one WebSocket message.
func (p *peer) send(records ...string) {
	p.t.Helper()
	p.SendText(strings.Join(records, "\x1e") + "\x1e")
}

// record reads the next record that is not a ping. Each WebSocket message must end with a record.
func (p *peer) record() string {
	p.t.Helper()
	for {
		if len(p.rest) == 0 {
			text := p.Text()
			records, ok := strings.CutSuffix(text, "\x1e")
			if !ok {
				p.t.Fatalf("a WebSocket message ends within a record: %q", text)
			}
			p.rest = strings.Split(records, "\x1e")
		}
		r := p.rest[0]
		p.rest = p.rest[1:]
		if r != `{"type":6}` && !(p.noAcks && strings.HasPrefix(r, `{"type":8,`)) {
			return r
		}
	}
}

// expect reads records and compares them.
func (p *peer) expect(records ...string) {
	p.t.Helper()
	for _, want := range records {
		if got := p.record(); got != want {
			p.t.Fatalf("got record %s, want %s", got, want)
		}
	}
}

// call calls a method and returns the record of the answer.
func (p *peer) call(id, method string, args ...any) string {
	p.t.Helper()
	p.send(invocation(id, method, args...))
	return p.record()
}

// result calls a method and compares its result.
func (p *peer) result(want, method string, args ...any) {
	p.t.Helper()
	require.Equal(p.t, `{"type":3,"invocationId":"r","result":`+want+`}`, p.call("r", method, args...))
}

// failure calls a method and compares its error.
func (p *peer) failure(want, method string, args ...any) {
	p.t.Helper()
	text, err := json.Marshal(want)
	require.NoError(p.t, err)
	require.Equal(p.t, `{"type":3,"invocationId":"f","error":`+string(text)+`}`, p.call("f", method, args...))
}

func invocation(id, method string, args ...any) string {
	if args == nil {
		args = []any{}
	}
	m := map[string]any{"type": 1, "target": method, "arguments": args}
	if id != "" {
		m["invocationId"] = id
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// readToClose reads up to the hub's close frame and returns the last record before it.
func (p *peer) readToClose(code int) (last string) {
	p.t.Helper()
	for {
		f, err := p.ReadFrame()
		require.NoError(p.t, err)
		switch f.Header.OpCode {
		case ws.OpText:
			records := strings.Split(strings.TrimSuffix(string(f.Payload), "\x1e"), "\x1e")
			last = records[len(records)-1]
		case ws.OpClose:
			got, _ := ws.ParseCloseFrameData(f.Payload)
			require.Equal(p.t, code, int(got))
			_, _ = p.Conn().Write(wstest.Frame(ws.OpClose, true, f.Payload)) // the hub may already have closed the socket
			p.ExpectEOF()
			return last
		}
	}
}

// ticket is the answer to a negotiation.
type ticket struct {
	NegotiateVersion     int
	ConnectionID         string
	ConnectionToken      string
	UseStatefulReconnect bool
	AvailableTransports  []struct {
		Transport       string
		TransferFormats []string
	}
	Error       string
	URL         string
	AccessToken string
}

// negotiate sends a negotiation.
func negotiate(t testing.TB, url, query string) ticket {
	t.Helper()
	res, err := http.Post(url+"/negotiate?"+query, "", nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	var k ticket
	require.NoError(t, json.NewDecoder(res.Body).Decode(&k))
	return k
}

// status returns the status of a handshake.
func status(t testing.TB, url string) int {
	t.Helper()
	res := wstest.Handshake(t, wstest.Request(t, url), nil).Response
	_, _ = io.Copy(io.Discard, res.Body) // only the status is of interest
	return res.StatusCode
}

// ticketOf negotiates with a handler, without a socket.
func ticketOf(t testing.TB, h http.Handler, query string) (k ticket) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/hub/negotiate?"+query, nil))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &k))
	return k
}

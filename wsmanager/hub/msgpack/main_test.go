package msgpack_test

import (
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// serve makes a hub with both protocols, unless opts has others, and serves it at /hub. It shuts the hub down at the
// end of the test.
func serve(t testing.TB, methods hub.Methods, opts hub.Options) (*hub.Hub, string) {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	if opts.Protocols == nil {
		opts.Protocols = []hub.Protocol{hub.JSON(), protocol}
	}
	h, err := hub.New(methods, opts)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/hub", h)
	mux.Handle("/hub/", h)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		_ = h.Shutdown(t.Context()) // the context has ended: Shutdown cuts the remaining connections and returns an error
		srv.Close()
	})
	return h, srv.URL + "/hub"
}

// peer is a client that sends and expects bytes.
type peer struct {
	*wstest.Client
	t    testing.TB
	rest []byte // records of the last message that have not been read
}

// connect connects without a negotiation and completes the handshake like the JavaScript client: in a text message.
func connect(t testing.TB, url string) *peer {
	t.Helper()
	p := &peer{Client: wstest.Dial(t, url, nil), t: t}
	p.SendText("{\"protocol\":\"messagepack\",\"version\":1}\x1e")
	p.ExpectText("{}\x1e")
	return p
}

// send sends records, in hexadecimal, as one WebSocket message.
func (p *peer) send(records ...string) {
	p.t.Helper()
	var out []byte
	for _, r := range records {
		out = append(out, unhex(p.t, r)...)
	}
	p.SendBinary(out)
}

// expect reads records and compares them. It skips pings.
func (p *peer) expect(records ...string) {
	p.t.Helper()
	for _, want := range records {
		got := p.record()
		for got == "029106" {
			got = p.record()
		}
		require.Equal(p.t, want, got)
	}
}

func (p *peer) record() string {
	p.t.Helper()
	if len(p.rest) == 0 {
		p.rest = p.Binary()
	}
	_, n, err := protocol.Cut(p.rest, len(p.rest))
	require.NoError(p.t, err)
	require.Positive(p.t, n, "a WebSocket message ends within a record: %x", p.rest)
	r := p.rest[:n]
	p.rest = p.rest[n:]
	return hex.EncodeToString(r)
}

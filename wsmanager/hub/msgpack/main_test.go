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

// serve makes a hub that speaks both protocols, unless opts say otherwise, and serves
// it at /hub. At the end of the test it is shut down.
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
		_ = h.Shutdown(t.Context()) // which is over: what is left is cut, and that is an error
		srv.Close()
	})
	return h, srv.URL + "/hub"
}

// peer is a client that sends and expects bytes.
type peer struct {
	*wstest.Client
	t    testing.TB
	rest []byte // records that came together with one that was read
}

// connect connects without a negotiation and shakes hands as the JavaScript client
// does: in a text.
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

// expect reads records, which must be these; pings are skipped.
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
	require.Positive(p.t, n, "a WebSocket message that does not end a record: %x", p.rest)
	r := p.rest[:n]
	p.rest = p.rest[n:]
	return hex.EncodeToString(r)
}

package handshake

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnswerCheck(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  Answer
		offered []string
		want    string
	}{
		{"nothing", Answer{}, nil, ""},
		{"one of a list", Answer{Subprotocol: "chat"}, []string{"superchat, chat", "v2"}, ""},
		{"another case", Answer{Subprotocol: "chat"}, []string{"Chat"}, "did not offer"},
		{"two at once", Answer{Subprotocol: "chat, v2"}, []string{"chat, v2"}, "did not offer"},
		{"not offered", Answer{Subprotocol: "chat"}, nil, "did not offer"},
		{"not a token", Answer{Subprotocol: "a b"}, []string{"a b"}, "not a token"},
		{"a header", Answer{Header: http.Header{"X-Room": {"a\tb\u00fc"}}}, nil, ""},
		{"an injected header", Answer{Header: http.Header{"X-Room": {"a\r\nX-Evil: b"}}}, nil, `the header "X-Room" is invalid`},
		{"an injected name", Answer{Header: http.Header{"X-Room: a\r\nX-Evil": {"b"}}}, nil, "is invalid"},
		{"of the handshake", Answer{Header: http.Header{"sec-websocket-accept": {"x"}}}, nil, "Sec-Websocket-Accept belongs to the handshake"},
		{"the Connection", Answer{Header: http.Header{"Connection": {"close"}}}, nil, "belongs to the handshake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request()
			r.Header["Sec-Websocket-Protocol"] = tt.offered
			err := tt.answer.Check(r)
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.want)
			}
		})
	}
}

// An answer that can't be sent leaves the header as it was, except for what components
// have set meanwhile.
func TestHeaderIsRestored(t *testing.T) {
	for _, q := range []*Request{{key: testKey}, {Stream: true}} {
		h := http.Header{
			"Content-Type":           {"text/plain"},
			"Sec-Websocket-Protocol": {"admin"},
			"X-Room":                 {"outer"},
			"X-Other":                {"1"},
		}
		original := h.Clone()
		a := &Answer{Subprotocol: "chat", Extensions: "x", Header: http.Header{"x-room": {"inner"}, "X-New": {"1"}}}
		before := h.Clone()
		q.writeHeader(h, a)
		want := http.Header{
			"Sec-Websocket-Protocol":   {"chat"},
			"Sec-Websocket-Extensions": {"x"},
			"X-Room":                   {"outer", "inner"},
			"X-Other":                  {"1"},
			"X-New":                    {"1"},
		}
		if !q.Stream {
			want["Connection"] = []string{"Upgrade"}
			want["Upgrade"] = []string{"websocket"}
			want["Sec-Websocket-Accept"] = []string{"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="} // RFC 6455, section 1.3
		}
		require.Equal(t, want, h)
		h.Set("X-Meanwhile", "1")
		restoreHeader(h, before, a)
		original.Set("X-Meanwhile", "1")
		require.Equal(t, original, h)
	}
}

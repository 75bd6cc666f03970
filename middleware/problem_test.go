package middleware_test

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

type badJSON struct{}

func (badJSON) MarshalJSON() ([]byte, error) { panic("in MarshalJSON") }

func TestWriteProblem(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"] = cycle
	full := &middleware.Problem{
		Type: "https://example.com/probs/out-of-credit", Title: "You do <not> have enough credit.", Status: 403,
		Detail: "It costs 50 & you have \"30\".", Instance: "/account/12345/msgs/abc",
		Extensions: map[string]any{
			"balance": 30, "accounts": []string{"/account/<1>"},
			"Status": 200, "title": "forged", "INSTANCE": "forged",
			"cycle": cycle, "func": func() {}, "inf": math.Inf(1), "panics": badJSON{},
		},
		Header: http.Header{"retry-after": {"120"}, "Content-Type": {"forged"}, "X-Content-Type-Options": {"forged"}},
		Err:    errors.New("the password is hunter2"),
	}
	for _, tt := range []struct {
		name, accept string
		problem      *middleware.Problem
		status       int
		body         string
	}{
		{"JSON", "application/json", full, 403, `{"type":"https://example.com/probs/out-of-credit","title":"You do \u003cnot\u003e have enough credit.","status":403,"detail":"It costs 50 \u0026 you have \"30\".","instance":"/account/12345/msgs/abc","accounts":["/account/\u003c1\u003e"],"balance":30}` + "\n"},
		{"text", "text/plain", full, 403, "403 You do <not> have enough credit.\nIt costs 50 & you have \"30\".\ntype: https://example.com/probs/out-of-credit\ninstance: /account/12345/msgs/abc\naccounts: [\"/account/\\u003c1\\u003e\"]\nbalance: 30\n"},
		{"nil", "application/json", nil, 500, `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
		{"a status that is not an error", "text/plain", &middleware.Problem{Status: 204}, 500, "500 Internal Server Error\n"},
		{"an informational status", "text/plain", &middleware.Problem{Status: 101}, 500, "500 Internal Server Error\n"},
		{"a status out of range", "text/plain", &middleware.Problem{Status: 1000}, 500, "500 Internal Server Error\n"},
		{"a status without a text", "text/plain", &middleware.Problem{Status: 499}, 499, "499 Error\n"},
		{"bytes that are no UTF-8", "text/plain", &middleware.Problem{Status: 400, Detail: "a\xffb"}, 400, "400 Bad Request\na\uFFFDb\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Header().Set("ETag", `"x"`)
				w.Header().Set("Upgrade", "websocket")
				w.Header().Set("Vary", "Origin")
				middleware.WriteProblem(w, r, tt.problem)
			})
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/", "Accept", tt.accept)
				require.NoError(t, err)
				require.Equal(t, tt.status, res.StatusCode)
				require.Equal(t, tt.body, body)
				require.EqualValues(t, len(body), res.ContentLength)
				require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
				require.Equal(t, []string{"Origin", "Accept"}, res.Header.Values("Vary"))
				require.Empty(t, res.Header.Get("Content-Encoding"))
				require.Empty(t, res.Header.Get("ETag"))
				if tt.problem == full {
					require.Equal(t, "120", res.Header.Get("Retry-After"))
				}

				req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, srv.URL, nil)
				require.NoError(t, err)
				req.Header.Set("Accept", tt.accept)
				head, err := srv.Client().Do(req)
				require.NoError(t, err)
				empty, err := io.ReadAll(head.Body)
				require.NoError(t, err)
				require.NoError(t, head.Body.Close())
				require.Empty(t, empty)
				require.Equal(t, tt.status, head.StatusCode)
				require.EqualValues(t, len(body), head.ContentLength)
				require.Equal(t, res.Header.Get("Content-Type"), head.Header.Get("Content-Type"))
			})
		})
	}
	require.Len(t, full.Extensions, 9, "it is not changed")
	require.Equal(t, []string{"forged"}, full.Header["Content-Type"])
}

func TestWriteProblemEscapesHTML(t *testing.T) {
	evil := `</title><script>alert(1)</script>"'&`
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	middleware.WriteProblem(w, r, &middleware.Problem{
		Status: 400, Type: evil, Title: evil, Detail: evil, Instance: evil, Extensions: map[string]any{evil: evil},
	})
	require.NotContains(t, w.Body.String(), "<script")
	require.Equal(t, 7, countOf(w.Body.String(), "script&gt;alert(1)")+countOf(w.Body.String(), `u003cscript\u003ealert(1)`), "it is all there")
}

func countOf(s, part string) (n int) {
	for i := range s {
		if len(s)-i >= len(part) && s[i:i+len(part)] == part {
			n++
		}
	}
	return n
}

func TestProblemIsAnError(t *testing.T) {
	cause := errors.New("no row")
	p := &middleware.Problem{Status: 404, Detail: "no such order", Err: cause}
	require.EqualError(t, p, "404 Not Found: no such order: no row")
	require.ErrorIs(t, p, cause)
	var none *middleware.Problem
	require.EqualError(t, none, "<nil>")
	require.NoError(t, errors.Unwrap(none))
	_, err := json.Marshal(p.Extensions)
	require.NoError(t, err)
}

package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// replay replays the client of a scenario.
type replay struct {
	t        *testing.T
	scenario *scenario
	used     *usage
	hubs     []*hub.Hub
	url      string
	ids      []string // replacements of placeholders and of ids, in pairs
	n        int      // negotiations
	tokens   int      // negotiations of version 1
	answers  map[int]*http.Response
	sockets  map[int]*socket
}

func newReplay(t *testing.T, s *scenario, used *usage) *replay {
	hubs, handler := goldenHubs(t)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return &replay{t: t, scenario: s, used: used, hubs: hubs, url: srv.URL, answers: make(map[int]*http.Response), sockets: make(map[int]*socket)}
}

func (r *replay) run() {
	for _, e := range r.scenario.Events {
		s := r.sockets[e.C]
		switch {
		case e.Kind == "request":
			r.request(&e)
		case e.Kind == "response":
			r.response(&e)
		case e.Kind == "frame" && e.From == "client":
			r.await(s)
			r.send(s, &e)
		case e.Kind == "frame":
			s.expected = append(s.expected, r.records(s, &e)...)
		case e.Kind == "closed" && e.By == "server":
			r.await(s)
			r.drain(s)
		case e.Kind == "closed":
			r.await(s)
			s.Kill()
			r.awaitEnd()
		default:
			r.t.Fatalf("unknown event %+v", e)
		}
	}
}

// request sends a request. A 101 makes a socket.
func (r *replay) request(e *event) {
	url := r.url + r.replace(e.URL)
	header := make(http.Header)
	for name, value := range e.Headers {
		header.Set(name, value)
	}
	if e.Headers["upgrade"] == "" {
		req, err := http.NewRequestWithContext(r.t.Context(), e.Method, url, strings.NewReader(e.Text))
		require.NoError(r.t, err)
		req.Header = header
		res, err := http.DefaultClient.Do(req)
		require.NoError(r.t, err)
		r.answers[e.C] = res
		return
	}
	req := wstest.Request(r.t, url)
	maps.Copy(req.Header, header)
	c := wstest.Handshake(r.t, req, nil)
	r.answers[e.C] = c.Response
	r.sockets[e.C] = &socket{Client: c}
}

func (r *replay) response(e *event) {
	res := r.answers[e.C]
	if e.Status == http.StatusSwitchingProtocols {
		require.Equal(r.t, e.Status, res.StatusCode)
		return
	}
	body, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	res.Body.Close()
	if want := e.Headers["content-type"]; want != "" {
		require.Equal(r.t, want, res.Header.Get("Content-Type"))
	}
	var k struct{ ConnectionID, ConnectionToken string }
	if json.Unmarshal(body, &k) == nil && k.ConnectionID != "" {
		r.n++
		r.ids = append(r.ids, fmt.Sprintf("<connectionId-%d>", r.n), k.ConnectionID)
		if k.ConnectionToken != "" {
			r.tokens++
			r.ids = append(r.ids, fmt.Sprintf("<connectionToken-%d>", r.tokens), k.ConnectionToken)
		}
	}
	want := fmt.Sprintf("%d %s", e.Status, e.Text)
	require.Equal(r.t, r.replace(r.used.adapt(r.scenario.ID, want)), fmt.Sprintf("%d %s", res.StatusCode, body))
}

func (r *replay) replace(text string) string { return strings.NewReplacer(r.ids...).Replace(text) }

// send sends a message of the client.
func (r *replay) send(s *socket, e *event) {
	switch {
	case e.Opcode == "close":
		s.closing = true
		if e.Code == 0 {
			s.SendRaw(wstest.Frame(opClose, true, nil))
			return
		}
		s.SendClose(e.Code, "")
	case e.Bytes > 0: // a call that is too big
		call := &hub.Invocation{ID: "1", Target: "Echo", Arguments: []hub.Raw{hub.Raw(`"` + strings.Repeat("x", e.Bytes) + `"`)}}
		record, err := hub.JSON().Append(nil, call)
		if e.Opcode == "binary" {
			raw, _ := binary.Encode(strings.Repeat("x", e.Bytes))
			record, err = binary.Append(nil, &hub.Invocation{ID: "1", Target: "Echo", Arguments: []hub.Raw{raw}})
		}
		require.NoError(r.t, err)
		if e.Opcode == "binary" {
			s.SendBinary(record)
		} else {
			s.SendText(string(record))
		}
	case e.Hex != "":
		recorded, err := hex.DecodeString(e.Hex)
		require.NoError(r.t, err)
		var wire []byte
		for m := range r.messages(recorded) {
			switch m := m.(type) {
			case *hub.CancelInvocation:
				s.cancel(m.ID)
			case *hub.Completion:
				m.ID = strings.Trim(r.replace(`"`+m.ID+`"`), `"`)
			}
			wire, err = binary.Append(wire, m)
			require.NoError(r.t, err)
		}
		s.SendBinary(wire)
	case e.Opcode == "binary":
		s.SendBinary([]byte(e.Text))
	default:
		for _, id := range cancelText.FindAllStringSubmatch(e.Text, -1) {
			s.cancel(id[1] + id[2])
		}
		s.SendText(r.replace(e.Text))
	}
}

// await reads the expected records. Calls that run side by side may end in another order.
func (r *replay) await(s *socket) {
	if s == nil || s.closing {
		return
	}
	var got []string
	for range s.expected {
		record := r.next(s)
		got = append(got, record)
		if strings.HasPrefix(record, "close ") || record == "" {
			break
		}
	}
	want := make([]string, len(s.expected))
	for i, record := range s.expected {
		want[i] = r.expect(record, got)
	}
	s.expected = nil
	for i, g := range got {
		if strings.Contains(r.scenario.ID, "-detailed-errors") {
			got[i] = detail.ReplaceAllString(g, "<detail>")
		}
	}
	require.ElementsMatch(r.t, want, got)
}

// awaitEnd waits until the hubs have noticed that the client has closed its connections. A client has one at a time.
func (r *replay) awaitEnd() {
	require.Eventually(r.t, func() bool {
		n := 0
		for _, h := range r.hubs {
			n += h.Len()
		}
		return n == 0
	}, wstest.Patience, time.Millisecond)
}

// drain reads up to the end.
func (r *replay) drain(s *socket) {
	for {
		if _, err := s.ReadFrame(); err != nil {
			require.ErrorIs(r.t, err, io.EOF)
			return
		}
	}
}

var (
	serverCall   = regexp.MustCompile(`^\{"type":1,"invocationId":"(s\d+)"`)
	detail       = regexp.MustCompile(`:( it has \d+ bytes,)? the limit is \d+( bytes)?| (json: |msgpack: |a string for )[^"]*`) // texts of other packages
	connectionID = regexp.MustCompile(`("target":"message","arguments":\[)"[\w-]{20,}"`)
)

// expect returns how a recorded record must look here.
func (r *replay) expect(record string, got []string) string {
	if m := serverCall.FindStringSubmatch(record); m != nil { // the server has chosen the id
		for _, g := range got {
			if o := serverCall.FindStringSubmatch(g); o != nil {
				r.ids = append(r.ids, `"`+m[1]+`"`, `"`+o[1]+`"`)
			}
		}
	}
	return connectionID.ReplaceAllString(r.replace(r.used.adapt(r.scenario.ID, record)), `$1"id"`)
}

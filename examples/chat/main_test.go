package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// start runs the program on a free port until the test ends.
func start(t *testing.T) *exampletest.Program {
	t.Helper()
	return exampletest.Start(t, run, "-addr", "127.0.0.1:0")
}

// join joins a room and returns the client and its id.
func join(t *testing.T, s *exampletest.Program, room string) (*wstest.Client, string) {
	t.Helper()
	c := wstest.Dial(t, s.URL+room, nil)
	id, ok := strings.CutSuffix(c.Text(), " is now connected")
	require.True(t, ok)
	return c, id
}

func TestTwoRoomsAreIsolated(t *testing.T) {
	s := start(t)
	ann, annID := join(t, s, "/ws")
	bob, bobID := join(t, s, "/ws")
	ann.ExpectText(bobID + " is now connected")
	eve, eveID := join(t, s, "/test")

	ann.SendText("hello")
	ann.ExpectText(annID + " said: hello")
	bob.ExpectText(annID + " said: hello")
	eve.SendText("<b>anybody?</b>")
	eve.ExpectText(eveID + " said: <b>anybody?</b>") // and no message before it

	require.ElementsMatch(t, []string{annID, bobID}, members(t, s, "ws"))
	require.Equal(t, []string{eveID}, members(t, s, "test"))

	bob.SendClose(1000, "bye")
	bob.ExpectClose(1000)
	ann.ExpectText(bobID + " disconnected")
	ann.SendText("exactly once")
	ann.ExpectText(annID + " said: exactly once")
	require.Equal(t, []string{annID}, members(t, s, "ws"))
}

func members(t *testing.T, s *exampletest.Program, room string) []string {
	t.Helper()
	res, body := get(t, s.URL+"/members?room="+room)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	var ids []string
	require.NoError(t, json.Unmarshal([]byte(body), &ids))
	require.NotNil(t, ids)
	return ids
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// A client whose socket is open is already a member.
func TestPageLearnsItsOwnID(t *testing.T) {
	s := start(t)
	c := wstest.Dial(t, s.URL+"/ws?tag=my-random-tag", nil)
	res, body := get(t, s.URL+"/members?room=ws&tag=my-random-tag")
	id := res.Header.Get("X-Member-Id")
	require.NotEmpty(t, id)
	require.JSONEq(t, fmt.Sprintf("[%q]", id), body)
	c.ExpectText(id + " is now connected")

	res, _ = get(t, s.URL+"/members?room=ws")
	require.Empty(t, res.Header.Get("X-Member-Id"))
}

func TestHTTP(t *testing.T) {
	s := start(t)
	for _, tt := range []struct {
		name, path, contentType, contains string
		status                            int
	}{
		{"page", "/", "text/html; charset=utf-8", `<script type="module" src="chat.js">`, 200},
		{"script", "/chat.js", "text/javascript; charset=utf-8", "new WebSocket", 200},
		{"health", "/health", "text/plain; charset=utf-8", "Healthy", 200},
		{"an empty room", "/members?room=ws", "application/json", "[]", 200},
		{"no such room", "/members?room=attic", "text/plain; charset=utf-8", "no such room", 404},
		{"no such page", "/nowhere", "text/plain; charset=utf-8", "404", 404},
		{"no upgrade", "/ws", "text/plain; charset=utf-8", "WebSocket", 426},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := get(t, s.URL+tt.path)
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, tt.contentType, res.Header.Get("Content-Type"))
			require.Contains(t, body, tt.contains)
			require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"))
			s.Out.WaitFor(t, fmt.Sprintf(`msg=request request.method=GET request.url="?%s"? .*response.status=%d`, regexp.QuoteMeta(tt.path), tt.status))
		})
	}
}

// Each of these connections ends with the right code, the other members only see that it
// left, and the log has one record of it.
func TestBadClients(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*wstest.Client)
		code int // that the client gets; 0 for none
		log  string
	}{
		{"tab killed", (*wstest.Client).Kill, 0, `code=1006 by=peer .*err=`},
		{"unmasked frame", func(c *wstest.Client) { c.SendRaw(ws.MustCompileFrame(ws.NewTextFrame([]byte("hello")))) }, 1002, `code=1002 by=server .*err="frames from client to server must be masked"`},
		{"10 MB message", func(c *wstest.Client) { c.SendText(strings.Repeat("x", 10<<20)) }, 1009, `code=1009 by=server .*err="a message is bigger than 65536 bytes"`},
		{"invalid UTF-8", func(c *wstest.Client) { c.SendRaw(wstest.Frame(ws.OpText, true, []byte("caf\xe9"))) }, 1007, `code=1007 by=server .*err="a text is not valid UTF-8"`},
		{"binary message", func(c *wstest.Client) { c.SendBinary([]byte{1}) }, 1003, `code=1003 by=server .*reason="this room speaks text"`},
		{"tab closed", func(c *wstest.Client) { c.SendClose(1001, "") }, 1001, `code=1001 by=peer`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			ann, annID := join(t, s, "/ws")
			bad, badID := join(t, s, "/ws")
			ann.ExpectText(badID + " is now connected")
			tt.do(bad)
			if tt.code != 0 {
				bad.ExpectClose(tt.code)
			}
			ann.ExpectText(badID + " disconnected")
			ann.SendText("still here")
			ann.ExpectText(annID + " said: still here")
			s.Out.WaitFor(t, `msg="websocket closed" room=ws conn=`+badID+` `+tt.log)
			require.Equal(t, 1, strings.Count(s.Out.String(), "conn="+badID), "records:\n%s", s.Out)
		})
	}
}

func TestForeignOriginIsRefused(t *testing.T) {
	s := start(t)
	ann, annID := join(t, s, "/ws")
	req := wstest.Request(t, s.URL+"/ws")
	req.Header.Set("Origin", "http://evil.example")
	c := wstest.Handshake(t, req, nil)
	require.Equal(t, http.StatusForbidden, c.Response.StatusCode)
	ann.SendText("hello again")
	ann.ExpectText(annID + " said: hello again")
	s.Out.WaitFor(t, `level=WARN msg="websocket refused" room=ws request.path=/ws request.origin=http://evil.example .*response.status=403 err="the origin is neither this host nor in Origins.Allowed"`)
	s.Out.WaitFor(t, `msg=request request.method=GET request.url=/ws .*response.status=403`)
}

func TestFrameInTheHandshakesSegment(t *testing.T) {
	s := start(t)
	c := wstest.Handshake(t, wstest.Request(t, s.URL+"/ws"), wstest.Frame(ws.OpText, true, []byte("early bird")))
	require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
	require.Regexp(t, `^\d+ms$`, c.Response.Header.Get("X-Response-Time"))
	id, ok := strings.CutSuffix(c.Text(), " is now connected")
	require.True(t, ok)
	c.ExpectText(id + " said: early bird")
	s.Out.WaitFor(t, `msg=request request.method=GET request.url=/ws .*response.status=101 .*response.upgraded=true`)
}

// Ctrl-C: the sockets get 1001 and run returns nil, which is exit status 0.
func TestDrain(t *testing.T) {
	s := start(t)
	ann, _ := join(t, s, "/ws")
	eve, _ := join(t, s, "/test")
	s.Stop()
	ann.ExpectClose(1001)
	eve.ExpectClose(1001)
	s.End(t)
}

func TestBadFlag(t *testing.T) {
	require.Error(t, run(t.Context(), []string{"-port", "1"}, io.Discard))
	require.Error(t, run(t.Context(), []string{"-addr", "127.0.0.1:99999"}, io.Discard))
}

// The tree in the README is the tree of this program.
func TestREADMETree(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	tree := app(newRooms(log), log).String()
	tree = strings.ReplaceAll(tree, " chat.", " main.") // the linker's name of the package outside of tests
	require.True(t, strings.Contains(string(readme), "```\n"+tree+"\n```"), "README.md should have\n%s", tree)
}

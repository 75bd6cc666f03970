package hub_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Clients choose the texts that a hub quotes in its log. A record has the beginning of them.
func TestHubLogsAreShort(t *testing.T) { onEachDriver(t, testHubLogsAreShort) }

func testHubLogsAreShort(t *testing.T) {
	logs := newLines()
	long := strings.Repeat("7", 32_000)
	var longest atomic.Int64 // bytes of an error that Disconnected got
	h, url := serve(t, hub.Methods{
		"Take": func(int) {},
		"Fail": func(s string) error { return errors.New(s) },
		"Boom": func(s string) { panic(s) },
	}, hub.Options{
		Logger:         slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		MaxReceiveSize: 64 << 10,
		Disconnected: func(_ *hub.Context, err error) {
			if err != nil {
				longest.Store(max(longest.Load(), int64(len(err.Error()))))
			}
		},
	})
	answered := func(record string) func(p *peer) {
		return func(p *peer) {
			p.shake().send(record)
			p.record()
			p.SendClose(1000, "")
			p.ExpectClose(1000)
		}
	}
	refused := func(record string) func(p *peer) {
		return func(p *peer) { p.send(record); p.readToClose(1000) }
	}
	closed := func(record string) func(p *peer) {
		return func(p *peer) {
			p.shake().send(record)
			p.readToClose(1000)
		}
	}
	for name, row := range map[string]struct {
		talk  func(p *peer)
		limit int // of a line
		want  string
	}{
		"the version of a handshake":      {refused(`{"protocol":"json","version":` + long + `}`), 600, "77 …"},
		"the protocol of a handshake":     {refused(`{"protocol":"` + long + `","version":1}`), 600, "unknown protocol"},
		"a handshake that is no JSON":     {refused(long + "x"), 600, "handshake"},
		"a type":                          {closed(`{"type":` + long + `}`), 600, "77 …"},
		"the id of an acknowledgement":    {closed(`{"type":8,"sequenceId":` + long + `}`), 600, "77 …"},
		"an argument":                     {answered(`{"type":1,"target":"Take","arguments":[` + long + `],"invocationId":"1"}`), 800, "77 …"},
		"an error of a method":            {answered(invocation("1", "Fail", long)), 3000, "77 …"},
		"a panic of a method":             {answered(invocation("1", "Boom", long)), 8000, "77 …"},
		"a long name of an unknown field": {closed(`{"type":1,"target":5,"` + long + `":1}`), 600, "hub closes connection"},
	} {
		logs.take()
		row.talk(dial(t, url))
		text := logs.take()
		require.Contains(t, text, row.want, name)
		for line := range strings.Lines(text) {
			require.Less(t, len(line), row.limit, name)
		}
	}
	require.NoError(t, h.Shutdown(t.Context()))
	require.Less(t, longest.Load(), int64(400))
	require.NotZero(t, longest.Load())
}

// A client in Go logs the beginning of what a server sends.
func TestConnectionLogsAreShort(t *testing.T) { onEachDriver(t, testConnectionLogsAreShort) }

func testConnectionLogsAreShort(t *testing.T) {
	logs := newLines()
	long := strings.Repeat("7", 32_000)
	h, url := serve(t, nil, hub.Options{})
	c := client(t, url, hub.DialOptions{
		Logger:   slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Handlers: hub.Methods{"fail": func(s string) (int, error) { return 0, errors.New(s) }},
	})
	require.Error(t, c.Call(testContext(t), "None"), "the hub has the connection when it answers")
	for _, method := range []string{long, "fail"} {
		_, err := hub.Invoke[int](testContext(t), h.Clients().Client(c.ID()), method, long)
		require.Error(t, err)
		text := logs.take()
		require.Contains(t, text, "77 …")
		for line := range strings.Lines(text) {
			require.Less(t, len(line), 3000)
		}
	}
}

// A connection token is a secret: neither the hub's log nor AccessLog has it, in either version of the negotiation.
func TestTokensStayOutOfLogs(t *testing.T) { onEachDriver(t, testTokensStayOutOfLogs) }

func testTokensStayOutOfLogs(t *testing.T) {
	logs := newLines()
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h, _ := serve(t, hub.Methods{"Fail": func() error { return errors.New("failed") }}, hub.Options{Logger: log, StatefulReconnect: true})
	logged := middleware.AccessLog(middleware.AccessLogOptions{Logger: log})(h)
	url := serveHandler(t, logged)
	for _, query := range []string{"", "negotiateVersion=1"} {
		k := negotiate(t, url, query)
		token := k.ConnectionToken
		if token == "" {
			token = k.ConnectionID
		}
		p := dial(t, url+"?id="+token).shake()
		p.send(invocation("1", "Fail"))
		p.record()
		require.Equal(t, http.StatusConflict, status(t, url+"?ID="+token))
		p.send("nonsense")
		p.readToClose(1000)
		text := ""
		for _, want := range []string{"hub method failed", "hub closes connection", "id=xxx", "ID=xxx"} {
			require.Eventually(t, func() bool { text += logs.take(); return strings.Contains(text, want) }, wstest.Patience, time.Millisecond)
		}
		require.NotContains(t, text, token)
		require.NotContains(t, text, "stct_")
	}
}

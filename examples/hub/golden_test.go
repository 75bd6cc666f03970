package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// scenario is a recorded exchange of a client with ASP.NET Core; see testdata/golden/README.md.
type scenario struct {
	ID     string  `json:"id"`
	Events []event `json:"events"`
}

// event is a request, a response, a WebSocket message or the end of a connection, whose number is C.
type event struct {
	C       int               `json:"c"`
	Kind    string            `json:"k"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Status  int               `json:"status"`
	Text    string            `json:"text"`
	Hex     string            `json:"hex"`
	From    string            `json:"from"`
	Opcode  string            `json:"opcode"`
	Code    int               `json:"code"`
	Bytes   int               `json:"bytes"` // of a long message, whose content is not recorded
	By      string            `json:"by"`
}

// deviation is a difference from ASP.NET Core that is on purpose: texts of ASP.NET Core that match have another form here.
type deviation struct {
	reason    string
	scenarios string // pattern of the ids
	aspnet    *regexp.Regexp
	ours      string
}

var deviations = []deviation{
	{"the hub serves WebSockets only", `.`, regexp.MustCompile(`,\{"transport":"ServerSentEvents".*\]\}\]`), `]`},
	{"the text of a hub.Error arrives alone", `-calls$`, regexp.MustCompile(`An unexpected error occurred invoking 'Fail' on the server\. HubException: boom`), `boom`},
	{"the text of a client is not for other clients", `-client-result$`, regexp.MustCompile(`(invoking 'AskClient' on the server\.) HubException: [^"]*`), `$1`},
	{"the caller reads which argument is wrong", `-calls$`, regexp.MustCompile(`("(?:invocationId|id)":"(?:7|6)".*"Failed to invoke 'Add' due to an error on the server\.)"`), `$1 Invocation provides 1 argument(s) but target expects 2."`},
	{"the caller reads which argument is wrong", `-calls$`, regexp.MustCompile(`("(?:invocationId|id)":"8".*"Failed to invoke 'Add' due to an error on the server\.)"`), `$1 Argument 1 is of the wrong type."`},
	{"errors of Go have no type", `-detailed-errors$`, regexp.MustCompile(`InvalidOperationException: secret`), `secret`},
	{"errors of Go have no type", `-detailed-errors$`, regexp.MustCompile(`InvalidDataException: (Invocation provides)`), `$1`},
	{"the hub does not know how an application sets its options", `-detailed-errors$`, regexp.MustCompile(`InvalidDataException: The maximum message size .*AddHubOptions\.`), `hub: invalid message of the client: the message is too big<detail>`},
	{"the caller reads which argument is wrong", `-detailed-errors$`, regexp.MustCompile(`InvalidDataException: Error binding arguments\..*invoked\.`), `Argument 1 is of the wrong type.<detail>`},
	{"an upgrade of another version has a status of its own (RFC 6455, section 4.4)", `^raw-ws-no-id$`, regexp.MustCompile(`^400 Connection ID required`), `426 This server speaks version 13 of the WebSocket protocol (RFC 6455).`},
	{"the text names the version", `^raw-negotiate-versions$`, regexp.MustCompile(`The client requested a non-integer protocol version\.`), `The client requested an invalid protocol version 'abc'`},
	{"in version 0 other clients know the token, and could take the connection over", `^raw-negotiate-versions$`, regexp.MustCompile(`"useStatefulReconnect":true,("negotiateVersion":0)`), `$1`},
	{"a client reads the reason", `^raw-ws-then-other$`, regexp.MustCompile(`^409 $`), `409 The connection is in use.`},
	{"the caller reads that an item is wrong", `-upload$`, regexp.MustCompile(`An unexpected error occurred invoking 'Sum' on the server\. HubException: Failed to bind Stream message\.`), `Failed to invoke 'Sum' due to an error on the server. An item of a stream is of the wrong type.`},
}

func TestGolden(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "golden", "signalr.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	used := &usage{deviations: make([]bool, len(deviations))}
	n := 0
	t.Cleanup(func() { // the scenarios have ended
		for i, d := range deviations {
			if !used.deviations[i] && used.scenarios == n && !t.Failed() {
				t.Errorf("deviation %d (%s) does not occur: remove it", i, d.reason)
			}
		}
	})
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for ; lines.Scan(); n++ {
		var s scenario
		require.NoError(t, json.Unmarshal(lines.Bytes(), &s))
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel() // some wait for time-outs
			used.begin()
			newReplay(t, &s, used).run()
		})
	}
	require.NoError(t, lines.Err())
	require.Greater(t, n, 70)
}

// usage notes which deviations occur.
type usage struct {
	mu         sync.Mutex // guards the fields below
	scenarios  int        // that ran: -run may leave some out
	deviations []bool
}

func (u *usage) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scenarios++
}

// adapt returns the text of ASP.NET Core with the deviations of this hub.
func (u *usage) adapt(scenario, aspnet string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, d := range deviations {
		if regexp.MustCompile(d.scenarios).MatchString(scenario) && d.aspnet.MatchString(aspnet) {
			u.deviations[i] = true
			aspnet = d.aspnet.ReplaceAllString(aspnet, d.ours)
		}
	}
	return aspnet
}

// goldenHubs serves hubs with the methods and options of the recorded server.
func goldenHubs(t *testing.T) (hubs []*hub.Hub, handler http.Handler) {
	mux := http.NewServeMux()
	for path, change := range map[string]func(*hub.Options){
		"/hub": func(o *hub.Options) { o.StatefulReconnect = true },
		"/ws":  func(*hub.Options) {},
		"/quick": func(o *hub.Options) {
			o.KeepAliveInterval, o.ClientTimeout, o.HandshakeTimeout = time.Second, 4*time.Second, 2*time.Second
		},
		"/detail": func(o *hub.Options) { o.DangerouslyDetailedErrors = true },
		"/auth": func(o *hub.Options) {
			o.Authenticate = func(_ *http.Request, token string) (hub.Identity, error) {
				if token == "" || token == "bad" {
					return hub.Identity{}, wsmanager.Reject(http.StatusUnauthorized, "")
				}
				return hub.Identity{User: token}, nil
			}
		},
	} {
		opts := hub.Options{
			Logger:           slog.New(slog.DiscardHandler),
			Protocols:        []hub.Protocol{hub.JSON(), binary},
			MaxParallelCalls: 10,
		}
		opts.MaxSendSize = 2 << 20 // for results of 1 MiB
		change(&opts)
		m := methods()
		m["Big"] = func(size int) string { return strings.Repeat("x", size) }
		m["Hide"] = func() error { return errors.New("secret") }
		m["Lines"] = func(ctx *hub.Context) error {
			return ctx.Clients().Caller().Send("message", "server", "line one\nline two\r\nline three")
		}
		m["WhoAmI"] = func(ctx *hub.Context) string { return ctx.User() }
		h, err := hub.New(m, opts)
		require.NoError(t, err)
		t.Cleanup(func() { _ = h.Shutdown(t.Context()) }) // the context has ended: connections are cut
		mux.Handle(path, h)
		mux.Handle(path+"/", h)
		hubs = append(hubs, h)
	}
	return hubs, mux
}

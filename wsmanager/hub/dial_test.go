package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

func TestDialFails(t *testing.T) { onEachDriver(t, testDialFails) }

func testDialFails(t *testing.T) {
	_, url := serve(t, nil, hub.Options{
		Authenticate: func(r *http.Request, token string) (hub.Identity, error) {
			if token != "good" {
				return hub.Identity{}, wsmanager.Reject(http.StatusUnauthorized, "a token is required")
			}
			return hub.Identity{User: "ann"}, nil
		},
	})
	ctx := testContext(t)
	log := optionsWithoutLog().Logger
	good := func(context.Context) (string, error) { return "good", nil }
	for _, skip := range []bool{false, true} {
		_, err := hub.Dial(ctx, url, hub.DialOptions{Logger: log, SkipNegotiation: skip})
		var refused *wsmanager.RefusedError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusUnauthorized, refused.StatusCode)
	}
	_, err := hub.Dial(ctx, url, hub.DialOptions{Logger: log, AccessToken: good, Protocol: renamed{hub.JSON()}})
	var remote *hub.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "The protocol 'other' is not supported.", remote.Text)
	reason := errors.New("no token")
	_, err = hub.Dial(ctx, url, hub.DialOptions{Logger: log, AccessToken: func(context.Context) (string, error) { return "", reason }})
	require.ErrorIs(t, err, reason)
	over, cancel := context.WithCancelCause(ctx)
	cancel(reason)
	_, err = hub.Dial(over, url, hub.DialOptions{Logger: log, AccessToken: good})
	require.ErrorIs(t, err, reason)
	_, err = hub.Dial(ctx, url+"?token=secret", hub.DialOptions{Logger: log, WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, reason }}}})
	require.ErrorIs(t, err, reason)
	require.NotContains(t, err.Error(), "secret")

	_, err = hub.Dial(ctx, "ftp://x", hub.DialOptions{
		Handlers:        hub.Methods{"a": 1, "b": func(*hub.Context) {}},
		ReconnectDelays: []time.Duration{-1}, SkipNegotiation: true, StatefulReconnect: true,
		KeepAliveInterval: -1, MaxReceiveSize: -1, StatefulBuffer: 1 << 30,
		WebSocket: wsmanager.DialOptions{SlowConsumer: wsmanager.SlowConsumerClose, Limits: wsmanager.Limits{MaxMessageSize: 1}},
	})
	for _, want := range []string{`"ftp"`, `Methods["a"]`, `Methods["b"]`, "ReconnectDelays", "SkipNegotiation", "KeepAliveInterval", "MaxReceiveSize", "StatefulBuffer", "SlowConsumer"} {
		require.ErrorContains(t, err, want)
	}
}

type renamed struct{ hub.Protocol }

func (renamed) Name() string { return "other" }

// The token is sent with both requests. A redirection may replace it.
func TestConnectionNegotiates(t *testing.T) { onEachDriver(t, testConnectionNegotiates) }

func testConnectionNegotiates(t *testing.T) {
	ctx := testContext(t)
	byToken := func(_ *http.Request, token string) (hub.Identity, error) { return hub.Identity{User: token}, nil }
	_, url := serve(t, testMethods(nil), hub.Options{Authenticate: byToken})
	_, front := serve(t, testMethods(nil), hub.Options{
		Authenticate: byToken,
		Redirect: func(_ *http.Request, identity hub.Identity) (string, string, error) {
			switch identity.User {
			case "banned":
				return "", "", hub.Error("You are banned.")
			case "same":
				return url + "?x=1", "", nil
			}
			return url + "?x=1", "another", nil
		},
	})
	user := func(at, token string) string {
		c := client(t, at, hub.DialOptions{AccessToken: func(context.Context) (string, error) { return token, nil }})
		name, err := hub.Invoke[string](ctx, c, "User")
		require.NoError(t, err)
		return name
	}
	require.Equal(t, "ann", user(url, "ann"))
	require.Empty(t, user(url, ""))
	require.Equal(t, "ann", user(strings.Replace(url, "http", "ws", 1)+"?a=b", "ann"))
	require.Equal(t, "another", user(front, "ann"))
	require.Equal(t, "same", user(front, "same"))
	_, err := hub.Dial(ctx, front, hub.DialOptions{AccessToken: func(context.Context) (string, error) { return "banned", nil }})
	var remote *hub.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "You are banned.", remote.Text)

	for name, answer := range map[string]string{
		"redirects too often": `{"url":"SELF"}`,
		"the scheme \"ftp\"":  `{"url":"ftp://x"}`,
		"offers no WebSock":   `{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":[{"transport":"LongPolling","transferFormats":["Text"]}]}`,
		"needs Text":          `{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":[{"transport":"WebSockets","transferFormats":["Binary"]}]}`,
		"no id":               `{"negotiateVersion":1,"connectionId":"a","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}`,
		"invalid character":   `nonsense`,
		"longer than 65536":   `"` + strings.Repeat("x", 100_000) + `"`,
		"refused with 404":    "",
		"refused with 200":    `{"connectionId":"a","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var self string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if answer == "" {
					http.NotFound(w, nil)
				}
				fmt.Fprint(w, strings.ReplaceAll(answer, "SELF", self))
			}))
			defer srv.Close()
			self = srv.URL
			_, err := hub.Dial(ctx, srv.URL, hub.DialOptions{})
			require.ErrorContains(t, err, name)
		})
	}
}

package hub_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

func TestErrClosed(t *testing.T) {
	require.ErrorIs(t, hub.ErrClosed, wsmanager.ErrClosed)
	require.ErrorIs(t, wsmanager.ErrClosed, hub.ErrClosed)
}

// requireOnePrefix fails if the text of an error repeats the name of the package or has several lines.
func requireOnePrefix(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, 1, strings.Count(" "+err.Error(), " hub: "), err.Error())
	require.True(t, strings.HasPrefix(err.Error(), "hub: "), err.Error())
	require.NotContains(t, err.Error(), "\n")
}

// An error that wraps another error of the package has the name of the package once.
func TestErrorTextsHaveOnePrefix(t *testing.T) { onEachDriver(t, testErrorTextsHaveOnePrefix) }

func testErrorTextsHaveOnePrefix(t *testing.T) {
	uploads := make(chan error, 1)
	_, url := serve(t, hub.Methods{
		"Take": func(items func(yield func(int, error) bool)) {
			for _, err := range items {
				uploads <- err
			}
		},
	}, hub.Options{})

	t.Run("the handshake is refused", func(t *testing.T) {
		_, err := hub.Dial(testContext(t), url, hub.DialOptions{Logger: optionsWithoutLog().Logger, Protocol: renamed{hub.JSON()}})
		requireOnePrefix(t, err)
		var remote *hub.RemoteError
		require.ErrorAs(t, err, &remote)
		requireOnePrefix(t, remote)
	})
	t.Run("the network fails", func(t *testing.T) {
		reason := errors.New("unreachable")
		_, err := hub.Dial(testContext(t), url, hub.DialOptions{Logger: optionsWithoutLog().Logger, SkipNegotiation: true, WebSocket: wsmanager.DialOptions{
			Network: wsmanager.Network{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, reason }},
		}})
		requireOnePrefix(t, err)
		require.ErrorIs(t, err, reason)
	})
	t.Run("a redirection has a wrong URL", func(t *testing.T) {
		_, front := serve(t, nil, hub.Options{Redirect: func(*http.Request, hub.Identity) (string, string, error) { return "ftp://x", "", nil }})
		_, err := hub.Dial(testContext(t), front, hub.DialOptions{Logger: optionsWithoutLog().Logger})
		requireOnePrefix(t, err)
	})
	t.Run("a message of the client is too big", func(t *testing.T) {
		ended := make(chan error, 1)
		_, strict := serve(t, nil, hub.Options{MaxReceiveSize: 1000, Disconnected: func(_ *hub.Context, err error) { ended <- err }})
		p := connect(t, strict)
		p.SendText(strings.Repeat("x", 2000))
		p.readToClose(1000)
		err := awaitValue(t, ended)
		requireOnePrefix(t, err)
		require.ErrorIs(t, err, hub.ErrRecordTooBig)
	})
	t.Run("a message of the server is too big", func(t *testing.T) {
		server := scriptedServer(t, "{}\x1e"+strings.Repeat("x", 2000)+"\x1e", nil)
		c := client(t, server, hub.DialOptions{SkipNegotiation: true, MaxReceiveSize: 1000})
		awaitValue(t, c.Done())
		requireOnePrefix(t, c.Err())
		require.ErrorIs(t, c.Err(), hub.ErrRecordTooBig)
	})
	t.Run("a stream of the client fails", func(t *testing.T) {
		p := connect(t, url)
		p.send(`{"type":1,"target":"Take","arguments":[],"streamIds":["u"]}`, `{"type":3,"invocationId":"u","error":"broken"}`)
		err := awaitValue(t, uploads)
		requireOnePrefix(t, err)
		var remote *hub.RemoteError
		require.ErrorAs(t, err, &remote)
		require.Equal(t, "broken", remote.Text)
	})
	t.Run("a connection breaks during a call", func(t *testing.T) {
		began := make(chan bool)
		_, broken := serve(t, hub.Methods{"Wait": func(ctx *hub.Context) { began <- true; <-ctx.Done() }}, hub.Options{})
		var line cable
		c := client(t, broken, hub.DialOptions{ReconnectDelays: []time.Duration{}, WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}}})
		failed := make(chan error, 1)
		go func() { failed <- c.Call(context.Background(), "Wait") }()
		go func() { failed <- c.Call(context.Background(), "Wait") }()
		awaitValue(t, began)
		line.cut()
		err := awaitValue(t, failed)
		requireOnePrefix(t, err)
		require.ErrorIs(t, err, hub.ErrDisconnected)
	})
	t.Run("a handler is a mistake", func(t *testing.T) {
		c := client(t, url, hub.DialOptions{})
		defer func() {
			err, _ := recover().(error)
			requireOnePrefix(t, err)
			require.ErrorContains(t, err, `Connection.On("x")`)
		}()
		c.On("x", func(*hub.Context) {})
	})
}

//go:build unix

package operations_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// service is a server of this repository, to be run behind a proxy.
type service struct {
	addr   string
	closed chan error // OnClose's errors
	stop   context.CancelFunc
	ended  chan error
}

// pings is the ping interval of /ws; /silent has no pings.
const pings = 250 * time.Millisecond

func serve(t *testing.T) *service {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s := &service{closed: make(chan error, 10), ended: make(chan error, 1)}
	callbacks := wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Value: describeRequest(r)}, nil
		},
		OnConnect: func(c *wsmanager.Conn) error {
			who, _ := wsmanager.Value[string](c)
			return c.Send(wsmanager.Text(who))
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(_ *wsmanager.Conn, err error) { s.closed <- err },
	}
	pinging := wsmanager.MustNew(callbacks, wsmanager.Options{Logger: quiet, Timeouts: wsmanager.Timeouts{PingInterval: pings}})
	silent := wsmanager.MustNew(callbacks, wsmanager.Options{Logger: quiet, Timeouts: wsmanager.Timeouts{PingInterval: time.Hour, Idle: 2 * time.Hour}})

	app := pipeline.New()
	app.Use(middleware.Forwarded(middleware.ForwardedOptions{
		Trusted: []string{"127.0.0.1"},
		Headers: []string{"X-Forwarded-For", "X-Forwarded-Proto"},
		Logger:  quiet,
	}))
	app.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health", Logger: quiet}))
	app.Mount("/ws", pinging)
	app.Mount("/silent", silent)
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, describeRequest(r)) })

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	srv := &http.Server{Handler: app.MustBuild(), ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelError)}
	go func() { s.ended <- pipeline.ServeListener(ctx, ln, srv, pinging.Shutdown, silent.Shutdown) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-s.ended:
			require.NoError(t, err)
		case <-time.After(2 * pipeline.DrainTimeout):
			t.Error("the server did not end")
		}
	})
	return s
}

// describeRequest describes a request as seen behind the proxy.
func describeRequest(r *http.Request) string {
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	peer, _, _ := net.SplitHostPort(middleware.PeerAddr(r))
	return fmt.Sprintf("%s asks %s://%s by way of %s", client, middleware.Scheme(r), r.Host, peer)
}

package exampletest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// PeerServer is a server for WebSocket clients that are not ours. A connection whose URL has
// the query "expires" expires after half a second. The server echoes each message, except the
// text "ping", after which it pings its client three times and answers with "pinged".
type PeerServer struct {
	URL string // with the scheme ws

	ended chan error
}

// ServePeers starts a PeerServer, which ends with the test.
func ServePeers(t testing.TB, driver wsmanager.Driver) *PeerServer {
	t.Helper()
	s := &PeerServer{ended: make(chan error, 100)}
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (a wsmanager.Accept, err error) {
			if r.URL.Query().Has("expires") {
				a.Expires = time.Now().Add(500 * time.Millisecond)
			}
			return a, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if string(m.Payload) == "ping" {
				return pingThrice(c)
			}
			return c.Send(m)
		},
		OnClose: func(_ *wsmanager.Conn, err error) { s.ended <- err },
	}, wsmanager.Options{
		Driver: driver, Logger: slog.New(slog.DiscardHandler),
		Origins: wsmanager.Origins{DangerouslyAllowAny: true}, // the page of the test comes from another server
	})
	srv := httptest.NewServer(m)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	s.URL = "ws" + strings.TrimPrefix(srv.URL, "http")
	return s
}

func pingThrice(c *wsmanager.Conn) error {
	for range 3 {
		rtt, err := c.Ping(c.Context())
		if err != nil {
			return err
		}
		if latency := c.Latency(); rtt <= 0 || latency != rtt {
			return fmt.Errorf("the ping took %v, and the latency is %v", rtt, latency)
		}
	}
	return c.Send(wsmanager.Text("pinged"))
}

// Ended returns the error of OnClose of the next connection that ends.
func (s *PeerServer) Ended(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("no connection has ended")
		return nil
	}
}

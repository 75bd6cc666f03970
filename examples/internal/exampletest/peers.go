package exampletest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// PeerServer is a server for WebSocket clients that are not ours. Its paths are
//
//	/messages   echoes each message, except the text "ping", after which it pings its client
//	            three times and answers with "pinged"
//	/pieces     receives pieces, and answers each message with its type, length and SHA-256
//	/expires    expires after half a second
type PeerServer struct {
	URL string // with the scheme ws, without a path

	ended chan error
}

// ServePeers starts a PeerServer, which ends with the test.
func ServePeers(t testing.TB, driver wsmanager.Driver) *PeerServer {
	t.Helper()
	s := &PeerServer{ended: make(chan error, 100)}
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.URL = "ws" + strings.TrimPrefix(srv.URL, "http")
	for path, cb := range map[string]wsmanager.Callbacks{
		"/messages": {OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if string(m.Payload) == "ping" {
				return pingThrice(c)
			}
			return c.Send(m)
		}},
		"/pieces": {
			OnAccept: func(*http.Request) (wsmanager.Accept, error) {
				return wsmanager.Accept{Value: &digest{sum: sha256.New()}}, nil
			},
			OnPiece: func(c *wsmanager.Conn, p wsmanager.Piece) error {
				d, _ := wsmanager.Value[*digest](c)
				return d.add(c, p)
			},
		},
		"/expires": {OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Expires: time.Now().Add(500 * time.Millisecond)}, nil
		}},
	} {
		cb.OnClose = func(_ *wsmanager.Conn, err error) { s.ended <- err }
		m := wsmanager.MustNew(cb, wsmanager.Options{
			Driver: driver, Logger: slog.New(slog.DiscardHandler),
			Compression: wsmanager.Compression{Enabled: true},
			Origins:     wsmanager.Origins{DangerouslyAllowAny: true}, // a page comes from another server
		})
		mux.Handle(path, m)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := m.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// pingThrice pings a client from a callback.
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

// digest is what a connection of /pieces has received of a message.
type digest struct {
	sum  hash.Hash
	size int
}

// add adds a piece, and answers the last one.
func (d *digest) add(c *wsmanager.Conn, p wsmanager.Piece) error {
	if p.First {
		d.sum.Reset()
		d.size = 0
	}
	d.sum.Write(p.Data)
	d.size += len(p.Data)
	if !p.Last {
		return nil
	}
	return c.Send(wsmanager.Text(fmt.Sprintf("%v %d %x", p.Type, d.size, d.sum.Sum(nil))))
}

// Ended returns the error of OnClose of the next connection that ends.
func (s *PeerServer) Ended(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("no connection has ended")
		return nil
	}
}

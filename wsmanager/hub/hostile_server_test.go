package hub_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A client in Go bounds what a hostile server makes it hold.
func TestHostileServers(t *testing.T) {
	for name, record := range map[string]string{
		"calls":          `{"type":1,"target":"wait","arguments":["` + strings.Repeat("x", 30_000) + `"]}`,
		"many arguments": `{"type":1,"target":"wait","arguments":[` + strings.Repeat("0,", 5_000) + `0]}`,
		"many streams":   `{"type":1,"target":"wait","arguments":[""],"streamIds":[` + strings.Repeat(`"",`, 5_000) + `""]}`,
		"questions":      `{"type":1,"invocationId":"1","target":"nothing","arguments":["` + strings.Repeat("x", 30_000) + `"]}`,
		"items":          `{"type":2,"invocationId":"1","item":"` + strings.Repeat("x", 30_000) + `"}`,
		"small items":    strings.Repeat(`{"type":2,"invocationId":"1","item":0}`+"\x1e", 100) + `{"type":6}`,
		"sequences":      strings.Repeat(`{"type":9,"sequenceId":1}`+"\x1e", 100) + `{"type":6}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quiet := slog.New(slog.DiscardHandler)
				m := wsmanager.MustNew(wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
					if !strings.Contains(string(msg.Payload), "protocol") {
						return nil
					}
					return errors.Join(c.Send(wsmanager.Text("{}\x1e")), attackClient(c, record))
				}}, wsmanager.Options{Logger: quiet, Driver: wsmanager.DriverGoroutine})
				l := wstest.Listen(64 << 10)
				srv := &http.Server{Handler: m}
				go func() { _ = srv.Serve(l) }() // returns at the end
				before := live()
				c, err := hub.Dial(t.Context(), "http://hub/", hub.DialOptions{
					SkipNegotiation: true, ReceiveBuffer: 2 << 20, ReconnectDelays: []time.Duration{}, Logger: quiet,
					WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: func(context.Context, string, string) (net.Conn, error) { return l.Dial() }}},
					Handlers:  hub.Methods{"wait": func(ctx context.Context, _ string) { <-ctx.Done() }},
				})
				require.NoError(t, err)
				go func() {
					for _, err := range hub.Stream[string](t.Context(), c, "Stream") {
						_ = err
						<-c.Done() // takes one item only
					}
				}()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				require.Less(t, live()-before, int64(maxHostileHeap+4<<20))
				c.Close()
				<-c.Done()
				_ = m.Shutdown(t.Context()) // the client may not have answered the close
				require.NoError(t, srv.Close())
				synctest.Wait()
			})
		})
	}
}

// attackClient sends records until the client takes no more.
func attackClient(c *wsmanager.Conn, record string) error {
	go func() {
		for range 400 {
			if c.SendContext(c.Context(), wsmanager.Text(record+"\x1e")) != nil {
				return
			}
		}
	}()
	return nil
}

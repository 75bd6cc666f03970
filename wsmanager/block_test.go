package wsmanager_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// ServeHTTP returns after the handshake. With Options.Block it returns after the connection
// has ended.
func TestWhenServeHTTPReturns(t *testing.T) { onEachDriver(t, testWhenServeHTTPReturns) }

func testWhenServeHTTPReturns(t *testing.T) {
	for _, block := range []bool{false, true} {
		t.Run(map[bool]string{false: "detached", true: "Block"}[block], func(t *testing.T) {
			j := newJournal()
			opts := optionsWithoutLog()
			opts.Block = block
			returned := make(chan struct{})
			cb := recordingCallbacks(j)
			onMessage := cb.OnMessage
			cb.OnMessage = func(c *wsmanager.Conn, m wsmanager.Message) error {
				if string(m.Payload) == "panic" {
					panic("oops")
				}
				return onMessage(c, m)
			}
			m, url := serve(t, cb, opts, func(m *wsmanager.Manager) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(returned)
					m.ServeHTTP(w, r)
				})
			})
			c := handshakeOver(t, wstest.Request(t, url), wstest.Frame(1, true, []byte("early")))
			c.ExpectText("early")
			c.SendText("hello")
			c.ExpectText("hello")
			if block || driverOf(t) == onH2 {
				select {
				case <-returned:
					t.Fatal("ServeHTTP returned before the connection ended")
				default:
				}
			} else {
				<-returned
			}
			c.SendText("panic") // the panic does not reach middleware that recovers
			c.ExpectClose(1011)
			require.NoError(t, c.Conn().Close())
			<-returned
			require.Len(t, j.await(t, 4), 4)
			require.NoError(t, m.Shutdown(t.Context()))
		})
	}
}

// Shutdown ends blocking handlers, so that http.Server.Shutdown can return.
func TestShutdownEndsHandlersThatBlock(t *testing.T) {
	onEachDriver(t, testShutdownEndsHandlersThatBlock)
}

func testShutdownEndsHandlersThatBlock(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Block = true
	returned := make(chan struct{})
	m, url := serve(t, wsmanager.Callbacks{}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(w, r)
			close(returned)
		})
	})
	c := dialOver(t, url, nil)
	done := make(chan error)
	go func() { done <- m.Shutdown(t.Context()) }()
	c.ExpectClose(1001)
	require.NoError(t, <-done)
	<-returned
}

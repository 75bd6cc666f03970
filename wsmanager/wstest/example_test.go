package wstest_test

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// The test of an echo endpoint, as in a _test.go file.
func ExampleDial() {
	_ = func(t *testing.T) { // func TestEcho(t *testing.T)
		srv := httptest.NewServer(wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		}, wsmanager.Options{}))
		defer srv.Close()
		c := wstest.Dial(t, srv.URL, nil)
		c.SendText("hello")
		c.ExpectText("hello")
		c.SendClose(1000, "bye")
		c.ExpectClose(1000)
	}
	// Output:
}

// Half an hour of pings takes no time: the clock of a bubble advances when all its
// goroutines wait.
func ExampleDialHandler() {
	_ = func(t *testing.T) { // func TestPings(t *testing.T)
		synctest.Test(t, func(t *testing.T) {
			m := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{})
			c := wstest.DialHandler(t, m, "/ws", nil, wstest.Memory{Patience: time.Hour})
			for start := time.Now(); time.Since(start) < 30*time.Minute; {
				c.SendPong(c.ExpectPing())
			}
			// The client stops answering now.
			c.ExpectPing()
			c.ExpectPing()
			c.ExpectClose(1001)
		})
	}
	// Output:
}

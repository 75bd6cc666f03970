package wstest_test

import (
	"net/http/httptest"
	"testing"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// The test of an echo, as it stands in a _test.go file.
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

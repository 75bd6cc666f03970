package wsmanager_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// inLoop reports whether connections of the test are in an event loop.
func inLoop(t *testing.T) bool {
	return runtime.GOOS == "linux" && strings.HasSuffix(t.Name(), "/"+string(onAuto))
}

// OnContinue runs once, after the callbacks for all bytes that were read together, and delays nothing: while it blocks, the connection
// is read and its callbacks run.
func TestContinue(t *testing.T) { onEachDriver(t, testContinue) }

func testContinue(t *testing.T) {
	steps, gate := make(chan string, 10), make(chan struct{})
	_, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			text := string(m.Payload)
			if text == "quiet" {
				steps <- text
				return nil
			}
			if continues := wsmanager.Continue(c); continues != inLoop(t) {
				t.Errorf("Continue returned %v", continues)
			}
			steps <- text
			return nil
		},
		OnContinue: func(*wsmanager.Conn) {
			steps <- "continue"
			<-gate
		},
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendText("first")
	require.Equal(t, "first", receive(t, steps))
	if inLoop(t) {
		require.Equal(t, "continue", receive(t, steps))
	}
	for range 3 {
		c.SendText("quiet")
		require.Equal(t, "quiet", receive(t, steps), "while OnContinue blocks")
	}
	close(gate)
	c.SendText("second")
	require.Equal(t, "second", receive(t, steps))
	if inLoop(t) {
		require.Equal(t, "continue", receive(t, steps))
	}
}

// A panic in OnContinue ends its connection, as one in a callback does.
func TestContinuePanics(t *testing.T) {
	ended := make(chan error, 1)
	_, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
			if !wsmanager.Continue(c) {
				panic("boom") // the event loop is not supported here
			}
			return nil
		},
		OnContinue: func(*wsmanager.Conn) { panic("boom") },
		OnClose:    func(_ *wsmanager.Conn, err error) { ended <- err },
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendText("x")
	c.ExpectClose(1011)
	require.ErrorIs(t, receive(t, ended), wsmanager.ErrPanic)
}

// Without OnContinue, and outside of callbacks, Continue returns false.
func TestContinueIsNotPossible(t *testing.T) {
	answers := make(chan bool, 1)
	conns := make(chan *wsmanager.Conn, 1)
	_, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { conns <- c; return nil },
		OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error { answers <- wsmanager.Continue(c); return nil },
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendText("x")
	require.False(t, receive(t, answers))
	require.False(t, wsmanager.Continue(receive(t, conns)))
}

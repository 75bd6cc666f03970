package hub_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// Close is the last message of a client, although streams, calls and events go on.
func TestCloseIsTheLastMessage(t *testing.T) { onEachDriver(t, testCloseIsTheLastMessage) }

func testCloseIsTheLastMessage(t *testing.T) {
	h, url := serve(t, hub.Methods{
		"Abort": func(ctx *hub.Context) { ctx.Abort() },
		"Items": func(ctx context.Context) <-chan int {
			items := make(chan int)
			go func() {
				defer close(items)
				for i := 0; ; i++ {
					select {
					case items <- i:
					case <-ctx.Done():
						return
					}
				}
			}()
			return items
		},
	}, hub.Options{})
	items := `{"type":4,"invocationId":"%d","target":"Items","arguments":[]}`
	for range 100 {
		p := connect(t, url)
		p.send(fmt.Sprintf(items, 1), fmt.Sprintf(items, 2), invocation("", "Abort"))
		_ = h.Clients().All().Send("event") // the hub may be closing
		require.Equal(t, `{"type":7}`, p.readToClose(1000))
	}
}

package wsmanager_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Two nodes with a bus. Both run in one process here. Real nodes are separate processes,
// with an adapter for a message broker instead of LocalBus.
func ExampleBackplane() {
	bus := &wsmanager.LocalBus{}
	node := func() *wsmanager.Manager {
		return wsmanager.MustNew(wsmanager.Callbacks{
			OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
				return wsmanager.Accept{User: r.URL.Query().Get("user"), Groups: []string{"lobby"}}, nil
			},
		}, wsmanager.Options{Logger: optionsWithoutLog().Logger, Backplane: bus})
	}
	here, there := node(), node()
	srv := httptest.NewServer(there)
	defer srv.Close()
	read, end := dial(srv, "/?user=ann")
	// The bus learns of the connection asynchronously; FlushBackplane waits until it has.
	_ = there.FlushBackplane(context.Background())

	fmt.Println(here.Broadcast(wsmanager.Text("to all")).Queued) // Sent counts connections of this node only
	here.Group("lobby").Send(wsmanager.Text("to the lobby"))
	here.Users("ann").Send(wsmanager.Text("to ann"))
	for c := range there.All().Local() { // an id contains the node: store it where all nodes can read it
		_ = here.Conns(c.ID()).Join("quiz")
		_ = here.Send(c.ID(), wsmanager.Text("to one"))
	}
	here.Group("quiz").Send(wsmanager.Text("to those who were asked in"))
	for range 5 {
		fmt.Println(read())
	}
	_ = here.FlushBackplane(context.Background()) // until the last publication is counted
	fmt.Println(here.Stats().Backplane.Published, there.Stats().Backplane.Received)

	end()
	for _, m := range []*wsmanager.Manager{here, there} {
		_ = m.Shutdown(context.Background())
	}
	// Output:
	// 0
	// to all
	// to the lobby
	// to ann
	// to one
	// to those who were asked in
	// 6 6
}

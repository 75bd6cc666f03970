package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// A client receives a big answer as fast as it reads. With Send the outbox would become
// full.
func ExampleConn_SendContext() {
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			for row := range 10_000 { // rows of a report
				if err := c.SendContext(ctx, wsmanager.Text(fmt.Sprint("row ", row))); err != nil {
					return err
				}
			}
			return c.Close(wsmanager.StatusNormalClosure, "that was all")
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(m)
	defer srv.Close()
	read, end := dial(srv, "/")
	defer end()
	rows := 0
	for text := read(); len(text) > 3 && text[:4] == "row "; text = read() {
		rows++
	}
	fmt.Println(rows, "rows")
	// Output: 10000 rows
}

// Only the newest position matters: a client that reads too slowly skips some.
func ExampleSlowConsumer() {
	positions := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{
		SlowConsumer: wsmanager.SlowConsumerDropOldest,
		Outbox:       wsmanager.Outbox{Messages: 1},
	})
	fmt.Println(positions.Broadcast(wsmanager.Text("52.52 13.40")).Dropped, positions.Stats().Dropped.Oldest)
	// Output: 0 0
}

// With the other two policies a send reports a full outbox. It is a mistake to retry at
// once: a peer that does not read will not have read by then.
func ExampleConn_Send_full() {
	send := func(c *wsmanager.Conn, m wsmanager.Message) error {
		err := c.Send(m)
		if errors.Is(err, wsmanager.ErrOutboxFull) || errors.Is(err, wsmanager.ErrClosed) {
			return nil // the drop is counted, and with SlowConsumerClose OnClose reports it
		}
		return err // an invalid message: a bug in the caller
	}
	_ = send
	// Output:
}

// Stats are meant for a scraper that reads them every few seconds.
func ExampleManager_Stats() {
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	r := httptest.NewRequest("GET", "/", nil) // not a WebSocket request
	m.ServeHTTP(httptest.NewRecorder(), r)
	s := m.Stats()
	fmt.Println("connections:", s.Connections)
	fmt.Println("refused:", s.Refused.NotWebSocket)
	fmt.Println("messages in and out:", s.MessagesIn, s.MessagesOut)
	fmt.Println("closed by the idle time-out and the like:", s.Closed[wsmanager.StatusGoingAway])
	// Output:
	// connections: 0
	// refused: 1
	// messages in and out: 0 0
	// closed by the idle time-out and the like: 0
}

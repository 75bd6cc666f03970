// Command msgpack calls a hub in MessagePack as a program outside of the module does.
package main

import (
	"context"
	"log"
	"net/http/httptest"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	protocol := msgpack.New(msgpack.Options{})
	h := hub.MustNew(hub.Methods{
		"Reverse": func(b []byte) []byte { return []byte{b[1], b[0]} },
	}, hub.Options{Protocols: []hub.Protocol{protocol}})
	srv := httptest.NewServer(h)
	defer srv.Close()

	c, err := hub.Dial(ctx, srv.URL, hub.DialOptions{Protocol: protocol})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reversed, err := hub.Invoke[[]byte](ctx, c, "Reverse", []byte{1, 0xff})
	if err != nil || string(reversed) != "\xff\x01" {
		log.Fatalf("Reverse: %x, %v", reversed, err)
	}
	if err := h.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

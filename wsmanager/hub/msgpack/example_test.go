package msgpack_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

// A hub for clients of both protocols, and a client that speaks MessagePack.
func Example() {
	quiet := slog.New(slog.DiscardHandler)
	h := hub.MustNew(hub.Methods{
		"Thumbnail": func(photo []byte) []byte { return photo[:2] },
	}, hub.Options{Logger: quiet, Protocols: []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{})}})
	srv := httptest.NewServer(h)
	defer srv.Close()
	ctx := context.Background()
	defer h.Shutdown(ctx)

	c, err := hub.Dial(ctx, srv.URL, hub.DialOptions{Logger: quiet, Protocol: msgpack.New(msgpack.Options{})})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	small, err := hub.Invoke[[]byte](ctx, c, "Thumbnail", []byte{0xff, 0xd8, 0xff, 0xe0})
	fmt.Printf("%x %v\n", small, err)
	// Output: ffd8 <nil>
}

// The names of a struct's fields.
func ExampleOptions() {
	type dish struct {
		Name  string `json:"name"`
		Price int    `json:"price" msgpack:"Preis"`
	}
	for _, opts := range []msgpack.Options{{}, {Tag: "-"}} {
		raw, err := msgpack.New(opts).Encode(dish{"soup", 5})
		fmt.Printf("%q %v\n", raw, err)
	}
	// Output:
	// "\x82\xa4name\xa4soup\xa5Preis\x05" <nil>
	// "\x82\xa4Name\xa4soup\xa5Preis\x05" <nil>
}

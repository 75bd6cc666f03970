package hub_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// exchangeRecords connects as a client with the JSON protocol, sends records, and prints the given number of records.
func exchangeRecords(h http.Handler, answers int, records ...string) {
	srv := httptest.NewServer(h)
	defer srv.Close()
	conn, br, _, err := ws.Dial(context.Background(), "ws"+strings.TrimPrefix(srv.URL, "http")+"/hub")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	var rw io.ReadWriter = conn
	if br != nil {
		rw = struct {
			io.Reader
			io.Writer
		}{io.MultiReader(br, conn), conn}
	}
	send := func(r string) { _ = wsutil.WriteClientText(conn, []byte(r+"\x1e")) }
	send(`{"protocol":"json","version":1}`)
	for _, r := range records {
		send(r)
	}
	read := bufio.NewReader(&texts{rw: rw})
	for range answers + 1 {
		r, err := read.ReadString('\x1e')
		if err != nil {
			fmt.Println(err)
			return
		}
		if r = strings.TrimSuffix(r, "\x1e"); r != "{}" { // answer to the handshake
			fmt.Println(r)
		}
	}
}

// texts reads messages as one stream.
type texts struct {
	rw   io.ReadWriter
	rest []byte
}

func (t *texts) Read(p []byte) (n int, err error) {
	for len(t.rest) == 0 {
		if t.rest, err = wsutil.ReadServerText(t.rw); err != nil {
			return 0, err
		}
	}
	n = copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// A method with a result, one whose error the caller may read, and one that calls its client.
func Example() {
	h := hub.MustNew(hub.Methods{
		"Add":  func(a, b int) int { return a + b },
		"Fail": func() error { return hub.Error("boom") },
		"Say": func(ctx *hub.Context, text string) error {
			return ctx.Clients().All().Send("said", strings.ToUpper(text))
		},
	}, hub.Options{Logger: slog.New(slog.DiscardHandler)})
	defer h.Shutdown(context.Background())
	exchangeRecords(h, 4,
		`{"type":1,"invocationId":"1","target":"Add","arguments":[40,2]}`,
		`{"type":1,"invocationId":"2","target":"Fail","arguments":[]}`,
		`{"type":1,"invocationId":"3","target":"Say","arguments":["hello"]}`)
	// Output:
	// {"type":3,"invocationId":"1","result":42}
	// {"type":3,"invocationId":"2","error":"boom"}
	// {"type":1,"target":"said","arguments":["HELLO"]}
	// {"type":3,"invocationId":"3"}
}

// A stream of results, and one that the client sends.
func ExampleMethods_streams() {
	h := hub.MustNew(hub.Methods{
		"Count": func(ctx *hub.Context, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n { // also ends when the client cancels the stream
					if !yield(i, ctx.Err()) {
						return
					}
				}
			}
		},
		"Sum": func(items iter.Seq2[int, error]) (sum int, err error) {
			for n, err := range items {
				if err != nil { // the client failed or disconnected
					return 0, err
				}
				sum += n
			}
			return sum, nil
		},
	}, hub.Options{Logger: slog.New(slog.DiscardHandler)})
	defer h.Shutdown(context.Background())
	exchangeRecords(h, 3, `{"type":4,"invocationId":"1","target":"Count","arguments":[2]}`)
	exchangeRecords(h, 1,
		`{"type":1,"invocationId":"2","target":"Sum","arguments":[],"streamIds":["3"]}`,
		`{"type":2,"invocationId":"3","item":40}`,
		`{"type":2,"invocationId":"3","item":2}`,
		`{"type":3,"invocationId":"3"}`)
	// Output:
	// {"type":2,"invocationId":"1","item":0}
	// {"type":2,"invocationId":"1","item":1}
	// {"type":3,"invocationId":"1"}
	// {"type":3,"invocationId":"2","result":42}
}

// All mistakes are reported at once.
func ExampleNew_mistakes() {
	_, err := hub.New(hub.Methods{
		"add": func(a, b int) int { return a + b },
		"Add": func(a, b float64) float64 { return a + b },
		"Log": func(lines ...string) {},
		"Net": func(c net.Conn) {},
	}, hub.Options{})
	fmt.Println(err)
	// Output:
	// hub: Methods["Log"]: takes []string: the number of arguments must be fixed; use a slice
	// hub: Methods["Net"]: parameter 1: is a net.Conn, which cannot be decoded; a stream is an iter.Seq2[T, error] or a <-chan T
	// hub: Methods["Add"] and Methods["add"] only differ in case: there are no overloads
}

// Outside of calls: an HTTP handler notifies the clients.
func ExampleHub_Clients() {
	h := hub.MustNew(nil, hub.Options{Logger: slog.New(slog.DiscardHandler)})
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.Clients().Group("kitchen").Send("ordered", r.FormValue("dish")); err != nil {
			http.Error(w, "not told", http.StatusInternalServerError)
		}
	})
	w := httptest.NewRecorder()
	orders.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/order?dish=soup", nil))
	fmt.Println(w.Code)
	// Output: 200
}

// Authentication of connections and authorization of calls.
func ExampleMethod() {
	h := hub.MustNew(hub.Methods{
		"Read": func() string { return "the news" },
		"Write": hub.Method{
			Func: func(text string) {},
			Authorize: func(c *hub.Call) error {
				if c.Context().User() != "editor" {
					return hub.Error("Only editors write.")
				}
				return nil
			},
		},
	}, hub.Options{
		Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(_ *http.Request, token string) (hub.Identity, error) {
			return hub.Identity{User: "reader"}, nil // a real server looks up the owner of the token
		},
	})
	defer h.Shutdown(context.Background())
	exchangeRecords(h, 2,
		`{"type":1,"invocationId":"1","target":"Read","arguments":[]}`,
		`{"type":1,"invocationId":"2","target":"Write","arguments":["x"]}`)
	// Output:
	// {"type":3,"invocationId":"1","result":"the news"}
	// {"type":3,"invocationId":"2","error":"Only editors write."}
}

// An event and a method of clients, with types that the compiler checks.
func ExampleNewEvent() {
	type Remark struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	said := hub.NewEvent[Remark]("said")
	h := hub.MustNew(hub.Methods{
		"Say": func(ctx *hub.Context, text string) error {
			return said.Send(ctx.Clients().All(), Remark{Name: "Ann", Text: text})
		},
	}, hub.Options{Events: []hub.Declaration{said}, Logger: slog.New(slog.DiscardHandler)})
	exchangeRecords(h, 1, `{"type":1,"target":"Say","arguments":["Hello!"]}`)
	// Output: {"type":1,"target":"said","arguments":[{"name":"Ann","text":"Hello!"}]}
}

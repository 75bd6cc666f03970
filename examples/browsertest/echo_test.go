package browsertest

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// relay forwards connections to an address and counts the bytes in both directions.
type relay struct {
	url      string
	up, down atomic.Int64
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{url: "http://" + ln.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return // closed
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				t.Error(err)
				_ = client.Close()
				return
			}
			t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
			wg.Go(func() { copyBytes(server, client, &r.up) })
			wg.Go(func() { copyBytes(client, server, &r.down) })
		}
	})
	return r
}

// copyBytes copies until either end closes.
func copyBytes(dst, src net.Conn, count *atomic.Int64) {
	defer dst.Close()
	_, _ = io.Copy(io.MultiWriter(dst, counter{count}), src) // the kind of end does not matter
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// The browser offers compression, and a server with compression enabled uses it in both
// directions.
func TestCompressionInTheBrowser(t *testing.T) {
	browser, bin := browser(t), build(t, "echo")
	for _, compress := range []bool{true, false} {
		args := []string{"-compress=false"}
		if compress {
			args = []string{"-compress"}
		}
		p := start(t, bin, "127.0.0.1:0", args...)
		r := newRelay(t, strings.TrimPrefix(p.url, "http://"))
		page := openTab(t, browser, r.url+"/no-page") // a 404 of the same origin
		eval[any](t, page, `new Promise((resolve, reject) => {
			window.ws = new WebSocket(location.origin.replace("http", "ws") + "/echo");
			ws.binaryType = "arraybuffer";
			ws.onopen = () => resolve(null);
			ws.onerror = () => reject("it failed");
		})`)
		extensions := eval[string](t, page, `ws.extensions`)
		require.Equal(t, compress, strings.HasPrefix(extensions, "permessage-deflate"), extensions)

		up, down := r.up.Load(), r.down.Load()
		sent := eval[int64](t, page, `(async () => {
			const row = i => ({id: i, name: "usér " + i % 50, active: i % 2 === 0});
			const json = n => JSON.stringify(Array.from({length: n}, (_, i) => row(i)));
			const echo = m => new Promise((resolve, reject) => {
				ws.onmessage = e => resolve(e.data);
				ws.onclose = e => reject("closed with " + e.code);
				ws.send(m);
			});
			let size = 0;
			for (const text of ["", "x", json(1), json(20), json(200), json(5000), "ä".repeat(100_000)]) {
				if (await echo(text) !== text) throw "another text came back";
				size += new TextEncoder().encode(text).length;
			}
			const bytes = new Uint8Array(100_000).map((_, i) => i % 7);
			const back = new Uint8Array(await echo(bytes));
			if (back.length !== bytes.length || back.some((b, i) => b !== bytes[i])) throw "other bytes came back";
			return size + bytes.length;
		})()`)
		up, down = r.up.Load()-up, r.down.Load()-down
		t.Logf("compress=%v: %d bytes of messages, %d bytes up, %d down", compress, sent, up, down)
		if compress {
			require.Less(t, up, sent/5)
			require.Less(t, down, sent/5)
		} else {
			require.Greater(t, up, sent)
			require.Greater(t, down, sent)
		}
		require.Equal(t, int64(1000), eval[int64](t, page, `new Promise(resolve => { ws.onclose = e => resolve(e.code); ws.close(1000); })`))
		p.stop(t)
	}
}

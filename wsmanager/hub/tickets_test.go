package hub_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// tokenHub makes a hub in a synctest bubble.
func tokenHub(t *testing.T, opts hub.Options) *hub.Hub {
	t.Helper()
	opts.Logger = optionsWithoutLog().Logger
	opts.WebSocket.Driver = wsmanager.DriverGoroutine
	h, err := hub.New(nil, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Shutdown(t.Context())) })
	return h
}

// try makes a handshake with a token and returns its status.
func try(t *testing.T, h *hub.Hub, token string) int {
	t.Helper()
	return wstest.HandshakeHandler(t, h, wstest.Request(t, "/hub?id="+token), nil, wstest.Memory{Patience: time.Hour}).Response.StatusCode
}

// A token is valid for 15 s, in either version of the negotiation, and a flood of negotiations takes no place from others.
func TestTokenLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := tokenHub(t, hub.Options{MaxNegotiations: 2})
		before := token(t, h)
		for range 100 {
			token(t, h)
		}
		require.Equal(t, http.StatusSwitchingProtocols, try(t, h, before))
		last, late := token(t, h), token(t, h)
		v0 := ticketOf(t, h, "").ConnectionID
		time.Sleep(15*time.Second - time.Millisecond)
		require.Equal(t, http.StatusSwitchingProtocols, try(t, h, last))
		require.Equal(t, http.StatusSwitchingProtocols, try(t, h, v0))
		time.Sleep(time.Millisecond)
		require.Equal(t, http.StatusNotFound, try(t, h, late))
		require.Equal(t, http.StatusConflict, try(t, h, last), "its connection lasts")
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// Negotiations without a connection take no memory.
func TestNegotiationFlood(t *testing.T) {
	h, err := hub.New(nil, optionsWithoutLog())
	require.NoError(t, err)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const negotiations = 5000
	first := token(t, h)
	before := heap()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/hub/negotiate?negotiateVersion=1", nil)
	for range negotiations {
		w.Body.Reset()
		h.ServeHTTP(w, r)
	}
	require.Less(t, int64(heap())-int64(before), int64(negotiations*50), "bytes")
	srv := httptest.NewServer(h)
	defer srv.Close()
	p := dial(t, srv.URL+"/hub?id="+first).shake()
	p.SendClose(1000, "")
	p.ExpectClose(1000)
	require.NoError(t, h.Shutdown(t.Context()))
}

// Nodes with the same keys accept each other's tokens. Each token begins one connection on each node.
func TestKeys(t *testing.T) { onEachDriver(t, testKeys) }

func testKeys(t *testing.T) {
	whoAmI := hub.Methods{"ID": func(ctx *hub.Context) string { return ctx.ConnectionID() }}
	before, after := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 16)
	node := func(keys ...[]byte) string {
		_, url := serve(t, whoAmI, hub.Options{Keys: keys, StatefulReconnect: true})
		return url
	}
	first, second, rotated, stranger := node(before), node(before, after), node(after, before), node()
	k := negotiate(t, first, "negotiateVersion=1")
	for _, url := range []string{first, second, rotated} {
		p := dial(t, url+"?id="+k.ConnectionToken).shake()
		p.result(`"`+k.ConnectionID+`"`, "ID")
		require.Equal(t, http.StatusConflict, status(t, url+"?id="+k.ConnectionToken))
		p.send(`{"type":7}`)
		p.ExpectClose(1000)
		require.Eventually(t, func() bool { return status(t, url+"?id="+k.ConnectionToken) == http.StatusNotFound }, wstest.Patience, time.Millisecond)
	}
	fresh := negotiate(t, rotated, "negotiateVersion=1")
	dial(t, second+"?id="+fresh.ConnectionToken).shake()
	other := strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, fresh.ConnectionToken)
	for name, target := range map[string]string{
		"of a key that this node lacks": first + "?id=" + fresh.ConnectionToken,
		"of another hub":                stranger + "?id=" + fresh.ConnectionToken,
		"a part":                        second + "?id=" + negotiate(t, second, "negotiateVersion=1").ConnectionToken[:50],
		"changed":                       second + "?id=" + other,
		"long":                          second + "?id=" + strings.Repeat(fresh.ConnectionToken, 20),
		"an id":                         second + "?id=" + fresh.ConnectionID,
	} {
		res := wstest.Handshake(t, wstest.Request(t, target), nil).Response
		require.Equal(t, http.StatusNotFound, res.StatusCode, name)
		require.Equal(t, http.StatusNotFound, get(t, target), name)
	}
}

// get returns the status of a request without a WebSocket.
func get(t testing.TB, url string) int {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func TestWrongKeys(t *testing.T) {
	_, err := hub.New(nil, hub.Options{Keys: [][]byte{make([]byte, 32), nil, make([]byte, 31)}})
	require.ErrorContains(t, err, "Options.Keys[1] has 0 bytes")
	require.ErrorContains(t, err, "Options.Keys[2] has 31 bytes")
	require.NotContains(t, err.Error(), "Keys[0]")
}

// Of many requests with one token at the same time, one begins the connection.
func TestTokenIsUsedOnce(t *testing.T) { onEachDriver(t, testTokenIsUsedOnce) }

func testTokenIsUsedOnce(t *testing.T) {
	var began atomic.Int64
	h, url := serve(t, nil, hub.Options{ConnContext: func(ctx context.Context, _ *http.Request) context.Context {
		began.Add(1)
		return ctx
	}})
	const requests = 20
	for range 5 {
		began.Store(0)
		k := negotiate(t, url, "negotiateVersion=1")
		statuses := make(chan int, requests)
		for range requests {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"?id="+k.ConnectionToken, nil)
			require.NoError(t, err)
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {wstest.Key}}
			go func() {
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					statuses <- 0
					return
				}
				statuses <- res.StatusCode
				_ = res.Body.Close()
			}()
		}
		upgraded := 0
		for range requests {
			switch status := <-statuses; status {
			case http.StatusSwitchingProtocols:
				upgraded++
			default: // the connection may have ended already
				require.Contains(t, []int{http.StatusConflict, http.StatusNotFound}, status)
			}
		}
		require.Equal(t, 1, upgraded)
		require.EqualValues(t, 1, began.Load())
	}
	require.Zero(t, h.Len())
}

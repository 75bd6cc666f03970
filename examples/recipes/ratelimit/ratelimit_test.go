package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/examples/recipes/ratelimit"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestOverTheWire(t *testing.T) {
	logs := &rt.Logs{}
	service := func() http.Handler {
		return pipeline.New().
			Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logs.Logger()})).
			Use(middleware.StatusPages(middleware.StatusPagesOptions{})).
			Use(ratelimit.PerClient(ratelimit.Options{Every: time.Hour, Burst: 2})).
			Run(rt.Text("served")).MustBuild()
	}
	var want int
	rt.Both(t, service, func(t *testing.T, srv *httptest.Server) {
		for range 2 {
			require.Equal(t, "served", rt.Do(t, srv, "GET", "/").Text)
		}
		res := rt.Do(t, srv, "GET", "/", "Accept", "application/json")
		require.Equal(t, 429, res.StatusCode)
		require.Equal(t, "3600", res.Header.Get("Retry-After"))
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), "by StatusPages")
		want += 3
		records := logs.Wait(t, want)
		require.EqualValues(t, 429, records[want-1]["response"].(map[string]any)["status"])
	})
}

// request returns a request from a client's address.
func request(h http.Handler, addr string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = addr
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRefill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := ratelimit.PerClient(ratelimit.Options{Every: 10 * time.Second, Burst: 3})(rt.Text("served"))
		const ann, bob = "192.0.2.1:1111", "192.0.2.2:2222"
		for range 3 {
			require.Equal(t, 200, request(h, ann).Code)
		}
		w := request(h, ann)
		require.Equal(t, 429, w.Code)
		require.Equal(t, "10", w.Header().Get("Retry-After"))
		require.Equal(t, 200, request(h, bob).Code, "another client")
		require.Equal(t, 429, request(h, "192.0.2.1:9999").Code, "another port is the same client")

		time.Sleep(8500 * time.Millisecond)
		require.Equal(t, "2", request(h, ann).Header().Get("Retry-After"), "1.5 s, rounded up")
		time.Sleep(2 * time.Second) // the value of Retry-After
		require.Equal(t, 200, request(h, ann).Code)
		require.Equal(t, 429, request(h, ann).Code, "a refused request costs no token, and gives none")

		time.Sleep(time.Hour)
		for range 3 {
			require.Equal(t, 200, request(h, ann).Code)
		}
		require.Equal(t, 429, request(h, ann).Code, "no more than the burst is saved up")
	})
}

// A client that returns again and again does not get more requests when generations change.
func TestNobodyGainsByBeingForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst, minutes = 4, 60
		b := ratelimit.NewBuckets(ratelimit.Options{Every: time.Second, Burst: burst, MaxClients: 100})
		served := 0
		for range minutes * 60 * 7 {
			if b.Take("192.0.2.1:1") {
				served++
			}
			time.Sleep(time.Second / 7)
		}
		require.LessOrEqual(t, served, minutes*60+burst)
		require.GreaterOrEqual(t, served, minutes*60-1)
		require.LessOrEqual(t, b.Len(), 2, "one bucket, maybe in both generations")
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 50
		b := ratelimit.NewBuckets(ratelimit.Options{Every: time.Second, Burst: 2, MaxClients: most})
		for i := range 100 * most {
			b.Take(fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
			require.LessOrEqual(t, b.Len(), 2*most)
		}
		time.Sleep(time.Minute)
		b.Take("192.0.2.1:1")
		require.Equal(t, 1, b.Len(), "idle ones are forgotten")
	})
}

func TestClient(t *testing.T) {
	for _, tt := range []struct{ remote, want string }{
		{"192.0.2.1:1234", "192.0.2.1/32"},
		{"[::ffff:192.0.2.1]:1234", "192.0.2.1/32"},
		{"[2001:db8:1:2:3:4:5:6]:1234", "2001:db8:1:2::/64"},
		{"[2001:db8:1:2::1]:1", "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:1234", "fe80::/64"},
		{"@", "invalid Prefix"},
		{"", "invalid Prefix"},
	} {
		require.Equal(t, tt.want, ratelimit.Client(&http.Request{RemoteAddr: tt.remote}).String(), tt.remote)
	}
}

// Behind a proxy all requests come from the proxy's address, unless Forwarded restores the
// client's.
func TestBehindAProxy(t *testing.T) {
	for _, forwarded := range []bool{false, true} {
		app := pipeline.New()
		if forwarded {
			app.Use(middleware.Forwarded(middleware.ForwardedOptions{
				Trusted: []string{"192.0.2.100"}, Headers: []string{"X-Forwarded-For"}, Logger: rt.Quiet(),
			}))
		}
		h := app.Use(ratelimit.PerClient(ratelimit.Options{Every: time.Hour})).Run(rt.Text("served")).MustBuild()
		from := func(peer, client string) int {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = peer
			r.Header.Set("X-Forwarded-For", client)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		const proxy, stranger = "192.0.2.100:1", "192.0.2.66:1"
		require.Equal(t, 200, from(proxy, "198.51.100.1"))
		require.Equal(t, 429, from(proxy, "198.51.100.1"))
		if forwarded {
			require.Equal(t, 200, from(proxy, "198.51.100.2"), "another client")
		} else {
			require.Equal(t, 429, from(proxy, "198.51.100.2"), "pays for the first")
		}
		require.Equal(t, 200, from(stranger, "198.51.100.3"))
		require.Equal(t, 429, from(stranger, "198.51.100.4"), "a client's own header does not count")
	}
}

func TestConcurrently(t *testing.T) {
	h := ratelimit.PerClient(ratelimit.Options{Every: time.Hour, Burst: 10, MaxClients: 3})(rt.Text("served"))
	var served atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if request(h, "192.0.2.1:1").Code == 200 {
				served.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 10, served.Load())
}

// Handshakes are limited, whatever the spelling; other requests are not, and an open socket
// stays open.
func TestHandshakesOnly(t *testing.T) {
	srv := rt.Serve(t, pipeline.New().
		UseWhen(branch.Header("Upgrade"), func(b *pipeline.Builder) {
			b.Use(ratelimit.PerClient(ratelimit.Options{Every: time.Hour, Burst: 2}))
		}).
		Mount("/ws", rt.Echo(t, nil, wsmanager.Options{})).
		Run(rt.Text("page")).MustBuild(), false)

	first := wstest.Dial(t, srv.URL+"/ws", nil)
	second := wstest.Dial(t, srv.URL+"/ws", http.Header{"Upgrade": {"WebSocket"}})
	for _, upgrade := range []string{"websocket", "WEBSOCKET", "h2c, websocket"} {
		c := wstest.Handshake(t, withUpgrade(t, srv.URL+"/ws", upgrade), nil)
		require.Equal(t, 429, c.Response.StatusCode, upgrade)
		require.Equal(t, "3600", c.Response.Header.Get("Retry-After"))
	}
	for range 10 {
		require.Equal(t, "page", rt.Do(t, srv, "GET", "/").Text)
	}
	rt.ExpectEcho(first)
	rt.ExpectEcho(second)
}

// The misuse: a limit by the value that browsers send has no effect.
func TestHandshakesByValue(t *testing.T) {
	srv := rt.Serve(t, pipeline.New().
		UseWhen(branch.Header("Upgrade", "websocket"), func(b *pipeline.Builder) {
			b.Use(ratelimit.PerClient(ratelimit.Options{Every: time.Hour}))
		}).
		Mount("/ws", rt.Echo(t, nil, wsmanager.Options{})).MustBuild(), false)
	for range 3 {
		rt.ExpectEcho(wstest.Dial(t, srv.URL+"/ws", http.Header{"Upgrade": {"WebSocket"}}))
	}
}

func withUpgrade(t *testing.T, url, value string) *http.Request {
	req := wstest.Request(t, url)
	req.Header.Set("Upgrade", value)
	return req
}

func TestMistakes(t *testing.T) {
	for _, opts := range []ratelimit.Options{{}, {Every: -1}, {Every: 1, Burst: -1}, {Every: 1, MaxClients: -1}} {
		_, err := pipeline.New().Use(ratelimit.PerClient(opts)).Build()
		require.ErrorContains(t, err, "ratelimit.PerClient: ", opts)
	}
}

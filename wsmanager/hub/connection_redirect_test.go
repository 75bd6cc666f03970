package hub_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// network is a set of servers with names. It answers each path in the way that the test says, and notes the requests.
type network struct {
	plain, secure *httptest.Server
	answers       map[string]string // by URL: a status and a Location, or the body of a 200

	mu       sync.Mutex
	requests []string
}

func newNetwork(t *testing.T, answers map[string]string) *network {
	n := &network{answers: answers}
	n.plain, n.secure = httptest.NewServer(n), httptest.NewTLSServer(n)
	t.Cleanup(n.plain.Close)
	t.Cleanup(n.secure.Close)
	return n
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	line := r.Method + " " + scheme + r.Host + r.URL.Path
	for _, name := range []string{"Authorization", "Cookie", "X-Api-Key", "Referer"} {
		if v := r.Header.Get(name); v != "" {
			line += " " + name + "=" + v
		}
	}
	if id := r.URL.Query().Get("id"); id != "" {
		line += " id=" + id
	}
	n.mu.Lock()
	n.requests = append(n.requests, line)
	n.mu.Unlock()
	answer, ok := n.answers[scheme+r.Host+r.URL.Path]
	var status int
	var location string
	switch {
	case !ok:
		w.WriteHeader(http.StatusTeapot)
	case strings.HasPrefix(answer, "{"):
		fmt.Fprint(w, answer)
	default:
		_, err := fmt.Sscan(answer, &status, &location)
		if err != nil {
			panic(err)
		}
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	}
}

// options are those of a client in the network, with a token and credentials in headers.
func (n *network) options() hub.DialOptions {
	opts := hub.DialOptions{Logger: optionsWithoutLog().Logger, AccessToken: func(context.Context) (string, error) { return "mine", nil }}
	opts.WebSocket.Handshake.Header = http.Header{"Cookie": {"c=1"}, "X-Api-Key": {"k"}}
	opts.WebSocket.Network = wsmanager.Network{
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		TLS:   &tls.Config{InsecureSkipVerify: true},
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			to := n.plain
			if strings.HasSuffix(address, "443") {
				to = n.secure
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", to.Listener.Addr().String())
		},
	}
	return opts
}

// A socket that resumes the connection has a new token of the caller, because the first one may have expired.
func TestResumeHasANewToken(t *testing.T) { onEachDriver(t, testResumeHasANewToken) }

func testResumeHasANewToken(t *testing.T) {
	requests := make(chan string, 10)
	h, url := serve(t, testMethods(nil), hub.Options{StatefulReconnect: true, Authenticate: func(r *http.Request, token string) (hub.Identity, error) {
		requests <- r.Method + " " + token
		return hub.Identity{}, nil
	}})
	var calls atomic.Int64
	conns := make(chan net.Conn, 10)
	var dialer net.Dialer
	opts := hub.DialOptions{
		StatefulReconnect: true,
		ReconnectDelays:   []time.Duration{},
		AccessToken:       func(context.Context) (string, error) { return fmt.Sprint("token ", calls.Add(1)), nil },
	}
	opts.WebSocket.Network.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		conns <- conn
		return conn, err
	}
	c := client(t, url, opts)
	require.Equal(t, "POST token 1", <-requests)
	require.Equal(t, "GET token 1", <-requests)
	<-conns // of the negotiation
	require.NoError(t, c.Call(testContext(t), "Add", 1, 2), "the hub can resume the connection when it answers")
	for i := range 3 {
		require.NoError(t, (<-conns).Close())
		require.Equal(t, fmt.Sprint("GET token ", i+2), awaitValue(t, requests))
		n, err := hub.Invoke[int](testContext(t), c, "Add", i, 1)
		require.NoError(t, err)
		require.Equal(t, i+1, n)
	}
	require.Equal(t, 1, h.Len())
}

// A negotiation sends credentials to the host that the caller has named, and never over a weaker scheme. HTTP redirects and
// the redirections of hubs lead elsewhere without them.
func TestNegotiationKeepsCredentials(t *testing.T) {
	const (
		accepted = `{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}`
		own      = " Authorization=Bearer mine Cookie=c=1 X-Api-Key=k"
		refused  = "418" // of the WebSocket, because the network has none
	)
	for name, row := range map[string]struct {
		url      string
		answers  map[string]string
		change   func(*hub.DialOptions)
		requests []string
		err      string
	}{
		"no redirect": {"http://a.example/hub?secret=s", map[string]string{"http://a.example/hub/negotiate": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: https to http on the same host": {"https://a.example/hub", map[string]string{"https://a.example/hub/negotiate": "307 http://a.example/hub/negotiate"}, nil,
			[]string{"POST https://a.example/hub/negotiate" + own}, "from https to http"},
		"HTTP: https to http on the same port": {"https://a.example:8443/hub", map[string]string{"https://a.example:8443/hub/negotiate": "308 http://a.example:8443/x"}, nil,
			[]string{"POST https://a.example:8443/hub/negotiate" + own}, "from https to http"},
		"HTTP: http to https to http": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 https://b.example/x", "https://b.example/x": "307 http://a.example/y"}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST https://b.example/x"}, "from https to http"},
		"HTTP: to https": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "308 https://a.example/hub/negotiate", "https://a.example/hub/negotiate": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST https://a.example/hub/negotiate" + own, "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: to another path": {"http://a.example/hub?secret=s", map[string]string{"http://a.example/hub/negotiate": "307 /other", "http://a.example/other": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://a.example/other" + own, "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: to another host": {"http://a.example/hub?secret=s", map[string]string{"http://a.example/hub/negotiate": "307 http://b.example/x", "http://b.example/x": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://b.example/x", "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: to a subdomain": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 http://sub.a.example/x", "http://sub.a.example/x": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://sub.a.example/x", "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: to another port": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 http://a.example:8080/x", "http://a.example:8080/x": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://a.example:8080/x", "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: to another host and back": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 http://b.example/x", "http://b.example/x": "307 http://a.example/y", "http://a.example/y": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://b.example/x", "POST http://a.example/y", "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: to a user's URL": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 http://a.example@b.example/x", "http://b.example/x": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://b.example/x", "GET http://a.example/hub" + own + " id=t"}, refused},
		"HTTP: from a user's URL": {"http://u:p@a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 http://b.example/x", "http://b.example/x": accepted},
			func(o *hub.DialOptions) { o.AccessToken = nil },
			[]string{"POST http://a.example/hub/negotiate Authorization=Basic dTpw Cookie=c=1 X-Api-Key=k", "POST http://b.example/x", "GET http://a.example/hub Authorization=Basic dTpw Cookie=c=1 X-Api-Key=k id=t"}, refused},
		"HTTP: from POST to GET": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "302 /other", "http://a.example/other": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own}, "302"},
		"HTTP: in a circle": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 /hub/negotiate"}, nil, nil, "more than 10 HTTP redirects"},
		"HTTP: the caller's limit": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 /other", "http://a.example/other": accepted},
			func(o *hub.DialOptions) {
				o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: o.WebSocket.Network.Dial}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			},
			[]string{"POST http://a.example/hub/negotiate" + own}, "307"},
		"the url of a redirected answer": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 http://b.example/x", "http://b.example/x": `{"url":"http://evil.example/hub","accessToken":"theirs"}`}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://b.example/x"}, "AllowRedirectedURL"},
		"the url of an answer that was redirected to the same host": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 /x", "http://a.example/x": `{"url":"http://a.example/y"}`}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://a.example/x" + own}, "AllowRedirectedURL"},
		"the url of a redirected answer, allowed": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": "307 http://b.example/x", "http://b.example/x": `{"url":"http://c.example/hub","accessToken":"theirs"}`, "http://c.example/hub/negotiate": accepted},
			func(o *hub.DialOptions) { o.AllowRedirectedURL = true },
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://b.example/x", "POST http://c.example/hub/negotiate Authorization=Bearer theirs", "GET http://c.example/hub Authorization=Bearer theirs id=t"}, refused},
		"hub: to another host": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": `{"url":"http://b.example/hub"}`, "http://b.example/hub/negotiate": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://b.example/hub/negotiate", "GET http://b.example/hub id=t"}, refused},
		"hub: to another host with a token": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": `{"url":"http://b.example/hub","accessToken":"theirs"}`, "http://b.example/hub/negotiate": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://b.example/hub/negotiate Authorization=Bearer theirs", "GET http://b.example/hub Authorization=Bearer theirs id=t"}, refused},
		"hub: the token is not passed on": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": `{"url":"https://b.example/hub","accessToken":"theirs"}`, "https://b.example/hub/negotiate": `{"url":"https://c.example/hub"}`, "https://c.example/hub/negotiate": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST https://b.example/hub/negotiate Authorization=Bearer theirs", "POST https://c.example/hub/negotiate", "GET https://c.example/hub id=t"}, refused},
		"hub: to another port of the host": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": `{"url":"http://A.example:8080/hub"}`, "http://A.example:8080/hub/negotiate": accepted}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own, "POST http://A.example:8080/hub/negotiate" + own, "GET http://A.example:8080/hub" + own + " id=t"}, refused},
		"hub: to http": {"https://a.example/hub", map[string]string{"https://a.example/hub/negotiate": `{"url":"http://a.example/hub","accessToken":"theirs"}`}, nil,
			[]string{"POST https://a.example/hub/negotiate" + own}, "from https to http"},
		"hub: to ws": {"wss://a.example/hub", map[string]string{"https://a.example/hub/negotiate": `{"url":"ws://a.example/hub"}`}, nil,
			[]string{"POST https://a.example/hub/negotiate" + own}, "from https to http"},
		"hub: to a user's URL": {"http://a.example/hub", map[string]string{"http://a.example/hub/negotiate": `{"url":"http://u:p@a.example/hub"}`}, nil,
			[]string{"POST http://a.example/hub/negotiate" + own}, "a URL with a user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, row.answers)
			opts := n.options()
			if row.change != nil {
				row.change(&opts)
			}
			_, err := hub.Dial(testContext(t), row.url, opts)
			require.ErrorContains(t, err, row.err)
			require.NotContains(t, err.Error(), "secret")
			n.mu.Lock()
			defer n.mu.Unlock()
			if row.requests == nil {
				require.LessOrEqual(t, len(n.requests), 10)
				return
			}
			require.Equal(t, row.requests, n.requests)
		})
	}
}

package wsmanager_test

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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// web is a network of any number of hosts. Their ports 443 and 8443 speak TLS.
type web struct {
	routes map[string][]string // "ws host/path": the Locations of a redirect
	status int                 // of redirects
	hold   bool                // the body of a redirect does not end before the connection

	mu       sync.Mutex // guards the following
	requests []string   // "ws host/path"
	last     *http.Request
}

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request, m *wsmanager.Manager) {
	scheme := "ws"
	if r.TLS != nil {
		scheme = "wss"
	}
	at := scheme + " " + r.Host + r.URL.RequestURI()
	w.mu.Lock()
	w.requests = append(w.requests, at)
	w.last = r.Clone(context.Background())
	w.mu.Unlock()
	locations, ok := w.routes[at]
	if !ok {
		m.ServeHTTP(rw, r)
		return
	}
	rw.Header()["Location"] = locations
	rw.WriteHeader(w.status)
	if w.hold {
		_ = http.NewResponseController(rw).Flush() // the client may be gone
		<-r.Context().Done()
	}
}

// start runs the servers and returns options of a client that reaches them.
func (w *web) start(t *testing.T) wsmanager.DialOptions {
	t.Helper()
	o := optionsWithoutLog()
	o.Origins.DangerouslyAllowAny = true
	m := wsmanager.MustNew(wsmanager.Callbacks{}, onDriver(t, o))
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.ServeHTTP(rw, r, m) })
	plain, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	secure.StartTLS()
	t.Cleanup(func() {
		shutdown(t, m)
		plain.Close()
		secure.Close()
	})
	opts := dialOptionsWithoutLog()
	opts.Network.TLS = &tls.Config{
		InsecureSkipVerify: true, // the certificate of httptest knows few hosts
		Certificates:       secure.TLS.Certificates,
		ServerName:         "first.example",
	}
	opts.Network.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	opts.Network.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := plain
		if strings.HasSuffix(addr, "443") {
			to = secure
		}
		return new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
	}
	opts.Handshake.Header = http.Header{
		"Cookie": {"secret"}, "X-Api-Key": {"secret"}, "Proxy-Authorization": {"secret"}, "Origin": {"http://first.example"}, "User-Agent": {"test"},
	}
	opts.Handshake.Subprotocols = []string{"chat"}
	opts.Handshake.MaxRedirects = 3
	return opts
}

// Redirects are followed if MaxRedirects allows them. Only the same server gets credentials.
func TestDialFollowsRedirects(t *testing.T) { onSocketDrivers(t, testDialFollowsRedirects) }

func testDialFollowsRedirects(t *testing.T) {
	for _, tt := range []struct {
		name        string
		from        string
		routes      map[string][]string
		want        string // the last request
		credentials bool
	}{
		{"path", "ws://a.example/x", map[string][]string{"ws a.example/x": {"/y"}}, "ws a.example/y", true},
		{"relative path", "ws://a.example/d/x", map[string][]string{"ws a.example/d/x": {"y?z=1"}}, "ws a.example/d/y?z=1", true},
		{"only a query", "ws://a.example/x?a=1", map[string][]string{"ws a.example/x?a=1": {"?b=2"}}, "ws a.example/x?b=2", true},
		{"dots", "ws://a.example/d/x", map[string][]string{"ws a.example/d/x": {"../../y"}}, "ws a.example/y", true},
		{"absolute ws", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://a.example/y"}}, "ws a.example/y", true},
		{"absolute http", "ws://a.example/x", map[string][]string{"ws a.example/x": {"http://a.example/y"}}, "ws a.example/y", true},
		{"host in another case", "ws://a.example/x", map[string][]string{"ws a.example/x": {"HTTP://A.EXAMPLE/y"}}, "ws A.EXAMPLE/y", true},
		{"default port", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://a.example:80/y"}}, "ws a.example:80/y", true},
		{"to TLS of the same host", "ws://a.example/x", map[string][]string{"ws a.example/x": {"https://a.example/x"}}, "wss a.example/x", true},
		{"to TLS of the same host, wss", "http://a.example/x", map[string][]string{"ws a.example/x": {"wss://a.example:443/x"}}, "wss a.example:443/x", true},
		{"within TLS", "wss://a.example/x", map[string][]string{"wss a.example/x": {"https://a.example/y"}}, "wss a.example/y", true},
		{"without scheme", "wss://a.example/x", map[string][]string{"wss a.example/x": {"//a.example/y"}}, "wss a.example/y", true},
		{"fragment", "ws://a.example/x", map[string][]string{"ws a.example/x": {"/y#secret"}}, "ws a.example/y", true},
		{"space in the query", "ws://a.example/x", map[string][]string{"ws a.example/x": {"/y?a b"}}, "ws a.example/y?a%20b", true},
		{"two equal Locations", "ws://a.example/x", map[string][]string{"ws a.example/x": {"/y", "/y"}}, "ws a.example/y", true},
		{"three times", "ws://a.example/1", map[string][]string{"ws a.example/1": {"/2"}, "ws a.example/2": {"/3"}, "ws a.example/3": {"/4"}}, "ws a.example/4", true},

		{"another host", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://b.example/x"}}, "ws b.example/x", false},
		{"another host without scheme", "ws://a.example/x", map[string][]string{"ws a.example/x": {"//b.example/x"}}, "ws b.example/x", false},
		{"another host with TLS", "wss://a.example/x", map[string][]string{"wss a.example/x": {"wss://b.example/x"}}, "wss b.example/x", false},
		{"subdomain", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://b.a.example/x"}}, "ws b.a.example/x", false},
		{"parent domain", "ws://b.a.example/x", map[string][]string{"ws b.a.example/x": {"ws://a.example/x"}}, "ws a.example/x", false},
		{"dot at the end", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://a.example./x"}}, "ws a.example./x", false},
		{"another port", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://a.example:8080/x"}}, "ws a.example:8080/x", false},
		{"another port with TLS", "ws://a.example:8080/x", map[string][]string{"ws a.example:8080/x": {"wss://a.example:8443/x"}}, "wss a.example:8443/x", false},
		{"another port to the default port of TLS", "ws://a.example:8080/x", map[string][]string{"ws a.example:8080/x": {"wss://a.example/x"}}, "wss a.example/x", false},
		{"there and back", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://b.example/x"}, "ws b.example/x": {"ws://a.example/y"}}, "ws a.example/y", false},
		{"there and further", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://b.example/x"}, "ws b.example/x": {"/y"}}, "ws b.example/y", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, user := range []string{"", "me:secret@"} {
				w := &web{routes: tt.routes, status: http.StatusFound, hold: true}
				opts := w.start(t)
				if user == "" {
					opts.Handshake.Header.Set("Authorization", "Bearer secret")
				}
				c := connect(t, strings.Replace(tt.from, "://", "://"+user, 1), wsmanager.Callbacks{}, opts)
				require.Equal(t, strings.HasPrefix(tt.want, "wss"), c.TLS() != nil)
				require.NoError(t, c.Close(wsmanager.StatusNormalClosure, ""))
				w.mu.Lock()
				require.Len(t, w.requests, len(tt.routes)+1)
				require.Equal(t, tt.want, w.requests[len(tt.routes)])
				for _, name := range []string{"Authorization", "Cookie", "X-Api-Key", "Proxy-Authorization"} {
					require.Equal(t, tt.credentials, w.last.Header.Get(name) != "", name)
				}
				require.Equal(t, "http://first.example test chat", w.last.Header.Get("Origin")+" "+w.last.UserAgent()+" "+w.last.Header.Get("Sec-WebSocket-Protocol"))
				if w.last.TLS != nil {
					require.Equal(t, tt.credentials, len(w.last.TLS.PeerCertificates) > 0)
					require.Equal(t, tt.credentials, w.last.TLS.ServerName == "first.example")
				}
				w.mu.Unlock()
			}
		})
	}
}

// All statuses that redirect a GET request are followed, and no other.
func TestDialRedirectStatuses(t *testing.T) { onSocketDrivers(t, testDialRedirectStatuses) }

func testDialRedirectStatuses(t *testing.T) {
	for status, follows := range map[int]bool{301: true, 302: true, 303: true, 307: true, 308: true, 300: false, 304: false, 305: false, 200: false, 404: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := &web{routes: map[string][]string{"ws a.example/x": {"/y"}}, status: status}
			opts := w.start(t)
			c, err := dialAs(t.Context(), t, "ws://a.example/x", wsmanager.Callbacks{}, opts)
			if follows {
				require.NoError(t, err)
				shutdown(t, c.Manager())
				return
			}
			var refused *wsmanager.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, status, refused.StatusCode)
		})
	}
}

// A header Host applies to the first server, and to redirects that name no host.
func TestDialRedirectHost(t *testing.T) { onSocketDrivers(t, testDialRedirectHost) }

func testDialRedirectHost(t *testing.T) {
	for location, want := range map[string]string{"/y": "ws virtual.example/y", "http://a.example/y": "ws a.example/y", "http://b.example/y": "ws b.example/y"} {
		w := &web{routes: map[string][]string{"ws virtual.example/x": {location}}, status: http.StatusFound}
		opts := w.start(t)
		opts.Handshake.Header.Set("Host", "virtual.example")
		connect(t, "ws://a.example/x", wsmanager.Callbacks{}, opts)
		w.mu.Lock()
		require.Equal(t, []string{"ws virtual.example/x", want}, w.requests)
		w.mu.Unlock()
	}
}

// The error of a redirect that is not followed names its target and the reason.
func TestDialRefusesRedirects(t *testing.T) { onSocketDriversAtOnce(t, testDialRefusesRedirects) }

func testDialRefusesRedirects(t *testing.T) {
	for _, tt := range []struct {
		name   string
		from   string
		routes map[string][]string
		want   []string
	}{
		{"to ws", "wss://a.example/x", map[string][]string{"wss a.example/x": {"ws://a.example/y?secret"}}, []string{`(to "ws://a.example/y", which is not followed`, "without TLS"}},
		{"to http", "wss://a.example/x", map[string][]string{"wss a.example/x": {"http://a.example/x"}}, []string{`"http://a.example/x"`, "without TLS"}},
		{"to ws on the way", "ws://a.example/x", map[string][]string{"ws a.example/x": {"wss://b.example/"}, "wss b.example/": {"ws://b.example/"}}, []string{"redirected to wss://b.example/:", `"ws://b.example/"`, "without TLS"}},
		{"another scheme", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ftp://a.example/x"}}, []string{`scheme "ftp"`}},
		{"javascript", "ws://a.example/x", map[string][]string{"ws a.example/x": {"javascript:alert(1)"}}, []string{`scheme "javascript"`}},
		{"itself", "ws://a.example/x", map[string][]string{"ws a.example/x": {"/x"}}, []string{`"/x"`, "loop"}},
		{"loop of two", "ws://a.example/x", map[string][]string{"ws a.example/x": {"/y"}, "ws a.example/y": {"http://a.example/x#f"}}, []string{"redirected to ws://a.example/y:", "loop"}},
		{"too many", "ws://a.example/1", map[string][]string{"ws a.example/1": {"/2"}, "ws a.example/2": {"/3"}, "ws a.example/3": {"/4"}, "ws a.example/4": {"/5"}}, []string{"redirected to ws://a.example/4:", `"/5"`, "redirect number 4", "at most 3"}},
		{"no Location", "ws://a.example/x", map[string][]string{"ws a.example/x": nil}, []string{"302 Found", "no header Location"}},
		{"empty Location", "ws://a.example/x", map[string][]string{"ws a.example/x": {""}}, []string{"no header Location"}},
		{"two Locations", "ws://a.example/x", map[string][]string{"ws a.example/x": {"/y", "/z"}}, []string{"different headers Location"}},
		{"user", "ws://a.example/x", map[string][]string{"ws a.example/x": {"ws://me:secret@b.example/"}}, []string{`"ws://b.example/"`, "contains a user"}},
		{"no URL", "ws://a.example/x", map[string][]string{"ws a.example/x": {"http://%zzsecret"}}, []string{"not a URL"}},
		{"no host", "ws://a.example/x", map[string][]string{"ws a.example/x": {"http:///y"}}, []string{"names no host"}},
		{"host that is not ASCII", "ws://a.example/x", map[string][]string{"ws a.example/x": {"http://b\u00fccher.example/"}}, []string{"not ASCII"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &web{routes: tt.routes, status: http.StatusFound}
			opts := w.start(t)
			_, err := dialAs(t.Context(), t, tt.from, wsmanager.Callbacks{}, opts)
			var refused *wsmanager.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, http.StatusFound, refused.StatusCode)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "secret")
			require.Equal(t, 1, strings.Count(err.Error(), "wsmanager: "), err.Error())
		})
	}
}

// The rest of the body of a refusal is not awaited.
func TestDialRefusedWithoutEnd(t *testing.T) { onSocketDrivers(t, testDialRefusedWithoutEnd) }

func testDialRefusedWithoutEnd(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write(make([]byte, 5000)) // more than a RefusedError contains
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	opts := dialOptionsWithoutLog()
	opts.Timeouts.Handshake = time.Hour
	_, err := dialAs(t.Context(), t, srv.URL, wsmanager.Callbacks{}, opts)
	var refused *wsmanager.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Len(t, refused.Body, 4<<10)
}

// The error of the server at the end of a redirect names this server.
func TestDialErrorAfterRedirect(t *testing.T) { onSocketDrivers(t, testDialErrorAfterRedirect) }

func testDialErrorAfterRedirect(t *testing.T) {
	answer := rawServer(t, func(conn net.Conn, _ string) { _, _ = conn.Write([]byte("HTTP/1.1 101 \r\n\r\n")) })
	srv := httptest.NewServer(http.RedirectHandler(strings.Replace(answer, "ws:", "http:", 1)+"/ws?token=secret", http.StatusFound))
	defer srv.Close()
	opts := dialOptionsWithoutLog()
	_, err := dialAs(t.Context(), t, srv.URL, wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, "which is not followed)", "redirects are off by default")
	opts.Handshake.MaxRedirects = 1
	_, err = dialAs(t.Context(), t, srv.URL, wsmanager.Callbacks{}, opts)
	require.ErrorIs(t, err, wsmanager.ErrHandshake)
	require.ErrorContains(t, err, "redirected to "+answer+"/ws: ")
	require.ErrorContains(t, err, "no header Upgrade")
	require.NotContains(t, err.Error(), "secret")

	opts.Handshake.MaxRedirects = -1
	_, err = dialAs(t.Context(), t, srv.URL, wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, "wsmanager: DialOptions.Handshake.MaxRedirects: -1 is negative; set a positive number, or 0 to follow no redirect")
}

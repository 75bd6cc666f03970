package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// newDialer returns a Dialer that ends before the test does.
func newDialer(t *testing.T, url string, cb wsmanager.Callbacks, opts wsmanager.DialOptions) *wsmanager.Dialer {
	t.Helper()
	opts.Driver = onDriver(t, wsmanager.Options{Driver: opts.Driver}).Driver
	d, err := wsmanager.NewDialer(url, cb, opts)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, d.Manager()) })
	return d
}

// All connections of a Dialer are in one Manager, and each is a complete connection.
func TestDialer(t *testing.T) { onSocketDrivers(t, testDialer) }

func testDialer(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			const n = 60
			server, url := serve(t, wsmanager.Callbacks{
				OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
			}, optionsWithoutLog(), nil)
			opts := dialOptionsWithoutLog()
			opts.Timeouts.Handshake = 10 * wstest.Patience // a busy machine needs time for so many handshakes
			if scheme == "wss" {
				url, opts.Network.TLS = echoServer(t, true)
			}
			got := make(chan string, 2*n)
			d := newDialer(t, url, wsmanager.Callbacks{
				OnConnect: func(c *wsmanager.Conn) error { return c.Join("all") },
				OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
			}, opts)
			conns := make([]*wsmanager.Conn, n)
			errs := make([]error, n)
			var dials sync.WaitGroup
			for i := range n {
				dials.Go(func() { conns[i], errs[i] = d.Dial(t.Context()) })
			}
			dials.Wait()
			want := map[string]bool{}
			for i, c := range conns {
				require.NoError(t, errs[i])
				require.Same(t, d.Manager(), c.Manager())
				require.Equal(t, scheme == "ws" && usesLoops(t), wsmanager.InLoop(c))
				text := fmt.Sprint("message ", i)
				want[text] = true
				require.NoError(t, c.Send(wsmanager.Text(text)))
			}
			require.Eventually(t, func() bool { return d.Manager().Group("all").Len() == n }, wstest.Patience, time.Millisecond)
			for range n {
				text := receive(t, got)
				require.True(t, want[text], text)
				delete(want, text)
			}
			require.Equal(t, wsmanager.Sent{Queued: n}, d.Manager().Broadcast(wsmanager.Text("to all")))
			for range n {
				require.Equal(t, "to all", receive(t, got))
			}
			s := d.Manager().Stats()
			require.EqualValues(t, n, s.Accepted)
			require.Equal(t, n, s.Connections)
			require.EqualValues(t, 2*n, s.MessagesIn)
			require.NoError(t, d.Manager().Shutdown(t.Context()))
			require.Equal(t, map[wsmanager.StatusCode]uint64{1001: n}, d.Manager().Stats().Closed)
			_, err := d.Dial(t.Context())
			require.ErrorIs(t, err, wsmanager.ErrShutdown)
			require.NoError(t, server.Shutdown(t.Context()))
		})
	}
}

// Shutdown cancels attempts in progress.
func TestDialerShutdownWhileDialling(t *testing.T) {
	onSocketDrivers(t, testDialerShutdownWhileDialling)
}

func testDialerShutdownWhileDialling(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and sends nothing
	require.NoError(t, err)
	defer ln.Close()
	opts := dialOptionsWithoutLog()
	opts.Timeouts.Handshake = time.Hour
	reached := make(chan struct{})
	opts.Network.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		defer close(reached)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	d := newDialer(t, "ws://"+ln.Addr().String(), wsmanager.Callbacks{}, opts)
	dialled := make(chan error)
	go func() {
		_, err := d.Dial(context.Background())
		dialled <- err
	}()
	receive(t, reached)
	require.NoError(t, d.Manager().Shutdown(t.Context()))
	require.ErrorIs(t, receive(t, dialled), wsmanager.ErrShutdown)
}

// A failed attempt does not affect other connections of the Dialer.
func TestDialerGoesOnAfterFailures(t *testing.T) { onSocketDrivers(t, testDialerGoesOnAfterFailures) }

func testDialerGoesOnAfterFailures(t *testing.T) {
	m := wsmanager.MustNew(wsmanager.Callbacks{}, onDriver(t, optionsWithoutLog()))
	var mu sync.Mutex
	attempts := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		attempts++
		odd := attempts%2 == 1
		mu.Unlock()
		if odd {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		m.ServeHTTP(w, r)
	}))
	defer srv.Close()
	defer shutdown(t, m)
	d := newDialer(t, srv.URL, wsmanager.Callbacks{}, dialOptionsWithoutLog())
	for range 10 {
		_, err := d.Dial(t.Context())
		var refused *wsmanager.RefusedError
		require.ErrorAs(t, err, &refused)
		_, err = d.Dial(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, 10, d.Manager().All().Len())
	require.EqualValues(t, 10, d.Manager().Stats().Accepted)
}

// A client's Manager accepts no connections: it would mask the frames that it sends.
func TestDialerManagerAcceptsNothing(t *testing.T) {
	url, _ := echoServer(t, false)
	d := newDialer(t, url, wsmanager.Callbacks{}, dialOptionsWithoutLog())
	srv := httptest.NewServer(d.Manager())
	defer srv.Close()
	c := handshakeOver(t, wstest.Request(t, srv.URL), nil)
	require.Equal(t, http.StatusInternalServerError, c.Response.StatusCode)
}

func TestNewDialerMistakes(t *testing.T) {
	opts := dialOptionsWithoutLog()
	opts.Outbox.Messages = -3
	_, err := wsmanager.NewDialer("ftp://example.com", wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, `the scheme "ftp"`)
	require.ErrorContains(t, err, "wsmanager: DialOptions.Outbox.Messages: -3 is negative")
}

// OnDial changes each attempt separately: each gets a copy of the options.
func TestOnDial(t *testing.T) { onSocketDrivers(t, testOnDial) }

func testOnDial(t *testing.T) {
	seen := make(chan string, 10)
	_, url := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
		user, password, _ := r.BasicAuth()
		seen <- fmt.Sprint(r.Host, r.URL, r.Header["X-Token"], user, password)
		return wsmanager.Accept{}, nil
	}}, optionsWithoutLog(), nil)
	opts := dialOptionsWithoutLog()
	opts.Handshake.Header = http.Header{"X-Token": {"all"}, "Host": {"example.com"}}
	opts.Value = 0
	n := 0
	opts.Handshake.OnDial = func(ctx context.Context, a *wsmanager.Attempt) error {
		n++
		_, limited := ctx.Deadline()
		require.True(t, limited)
		require.Equal(t, 0, a.Value)
		require.Equal(t, "all", a.Header.Get("X-Token"))
		require.Empty(t, a.URL.Query().Get("ticket"))
		a.Value = n
		a.Header.Add("X-Token", fmt.Sprint(n))
		a.URL.RawQuery = fmt.Sprint("ticket=", n)
		if n == 2 {
			a.URL.User = nil
		}
		return nil
	}
	opts.Handshake.Header.Set("Later", "is not seen")
	d := newDialer(t, strings.Replace(url, "://", "://me:secret@", 1)+"/ws", wsmanager.Callbacks{}, opts)
	opts.Handshake.Header.Set("X-Token", "changed")
	for i, want := range []string{
		"example.com /ws?ticket=1 [all 1] me secret", "example.com /ws?ticket=2 [all 2]", "example.com /ws?ticket=3 [all 3] me secret",
	} {
		c, err := d.Dial(t.Context())
		require.NoError(t, err)
		require.Equal(t, strings.ReplaceAll(want, " ", ""), strings.ReplaceAll(receive(t, seen), " ", ""))
		v, ok := wsmanager.Value[int](c)
		require.True(t, ok)
		require.Equal(t, i+1, v)
	}
	require.Equal(t, map[string][]string{"X-Token": {"changed"}, "Host": {"example.com"}, "Later": {"is not seen"}}, map[string][]string(opts.Handshake.Header))
}

// The result of OnDial is validated. The attempt fails with the error of OnDial.
func TestOnDialMistakes(t *testing.T) {
	noToken := errors.New("no token")
	for name, tt := range map[string]struct {
		f    func(*wsmanager.Attempt) error
		want string
	}{
		"an error":  {func(*wsmanager.Attempt) error { return noToken }, "wsmanager: dialling ws://example.com/ws: OnDial: no token"},
		"no URL":    {func(a *wsmanager.Attempt) error { a.URL = nil; return nil }, "Attempt.URL is nil"},
		"a bad URL": {func(a *wsmanager.Attempt) error { a.URL.Scheme = "ftp"; return nil }, `has the scheme "ftp"`},
		"a query that begins a header": {func(a *wsmanager.Attempt) error {
			a.URL.RawQuery = "ticket=secret HTTP/1.1\r\nX-Admin: yes\r\nX: "
			return nil
		}, "has a control character"},
		"a host that begins a header": {func(a *wsmanager.Attempt) error { a.URL.Host = "secret\nX-Admin: yes"; return nil }, "has a control character"},
		"a path that begins a header": {func(a *wsmanager.Attempt) error { a.URL.Opaque = "/secret\nX-Admin: yes"; return nil }, "has a control character"},
		"a bad header":                {func(a *wsmanager.Attempt) error { a.Header.Set("Upgrade", "x"); return nil }, `"Upgrade" belongs`},
	} {
		t.Run(name, func(t *testing.T) {
			opts := dialOptionsWithoutLog()
			opts.Network.Dial = func(context.Context, string, string) (net.Conn, error) {
				t.Error("the client dialled in spite of the error")
				return nil, noToken
			}
			opts.Handshake.OnDial = func(_ context.Context, a *wsmanager.Attempt) error { return tt.f(a) }
			_, err := wsmanager.Dial(t.Context(), "ws://user:secret@example.com/ws?secret", wsmanager.Callbacks{}, opts)
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, name == "an error", errors.Is(err, noToken))
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// With OnDial a Client uses another server and a new token for each attempt.
func TestClientOnDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.options()
		pipe := opts.Network.Dial
		var dialled []string
		opts.Network.Dial = func(ctx context.Context, n, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			return pipe(ctx, n, addr)
		}
		servers := []string{"a.example", "b.example:8080", "c.example"}
		attempts := 0
		opts.Handshake.OnDial = func(_ context.Context, a *wsmanager.Attempt) error {
			if attempts++; attempts == 2 {
				return errors.New("no token now") // also retried
			}
			a.URL.Host = servers[len(dialled)]
			return nil
		}
		cl, _ := startClient(t, wsmanager.Callbacks{}, opts)
		for range servers {
			conn := network.accept(t)
			synctest.Wait()
			conn.Reset()
		}
		require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
		synctest.Wait()
		require.Equal(t, []string{"a.example:80", "b.example:8080", "c.example:80"}, dialled)
		require.Equal(t, 4, attempts)
	})
}

package authentication_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	auth "github.com/speakingtube/speakingtube/examples/recipes/authentication"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

var (
	ann, bob = auth.Identity{Name: "ann"}, auth.Identity{Name: "bob ümlaut. "}

	tokens   = auth.NewTokens(map[string]auth.Identity{"t-ann": ann, "t-bob": bob})
	sessions = auth.NewSessions([32]byte{1, 2, 3}, time.Hour)
	basic    = auth.Basic(`the "back" office`, func(user, password string) bool {
		return auth.Equal(user, "ann") && auth.Equal(password, "secret:with colon")
	})
)

// service has a page and a socket that answer with the user.
func service(t *testing.T, logs *rt.Logs, tickets *auth.Tickets) http.Handler {
	chat := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: auth.Accept,
		OnConnect: func(c *wsmanager.Conn) error {
			id, _ := wsmanager.Value[auth.Identity](c)
			return c.Send(wsmanager.Text("hello " + id.Name))
		},
	}, wsmanager.Options{Logger: logs.Logger()})
	t.Cleanup(func() { _ = chat.Shutdown(t.Context()) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me/{page}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := auth.From(r)
		if !ok {
			panic("no identity")
		}
		_, _ = io.WriteString(w, id.Name)
	})
	mux.Handle("/ticket", tickets)
	return pipeline.New().
		Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logs.Logger(), Attrs: auth.LogUser})).
		Use(middleware.Recover(middleware.RecoverOptions{Logger: logs.Logger()})).
		Use(auth.Require(tokens.Bearer(), basic, sessions.Cookie(), tokens.Query(), tickets.Query())).
		Mount("/ws", chat).
		Run(mux).
		MustBuild()
}

// cookie returns the cookie of a session.
func cookie(s *auth.Sessions, id auth.Identity) string {
	w := httptest.NewRecorder()
	s.Begin(w, id)
	c := w.Result().Cookies()[0]
	return c.Name + "=" + c.Value
}

func TestSchemes(t *testing.T) {
	other := auth.NewSessions([32]byte{9}, time.Hour)
	expired := auth.NewSessions([32]byte{1, 2, 3}, -time.Second)
	good := cookie(sessions, ann)
	forged := strings.Replace(good, "=", "=x", 1)
	basicAuth := func(user, password string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for _, tt := range []struct {
		name, header, value string
		want                string // "": 401
	}{
		{"nothing", "X-Nothing", "", ""},
		{"bearer", "Authorization", "Bearer t-ann", "ann"},
		{"bearer, another", "Authorization", "bearer t-bob", bob.Name},
		{"a wrong token", "Authorization", "Bearer t-an", ""},
		{"an empty token", "Authorization", "Bearer ", ""},
		{"no token", "Authorization", "Bearer", ""},
		{"another scheme", "Authorization", "Digest t-ann", ""},
		{"basic", "Authorization", basicAuth("ann", "secret:with colon"), "ann"},
		{"a wrong password", "Authorization", basicAuth("ann", "secret"), ""},
		{"a wrong user", "Authorization", basicAuth("bob", "secret:with colon"), ""},
		{"no base64", "Authorization", "Basic %%%", ""},
		{"session", "Cookie", good, "ann"},
		{"session, another", "Cookie", cookie(sessions, bob), bob.Name},
		{"a forged session", "Cookie", forged, ""},
		{"a session without its MAC", "Cookie", good[:strings.LastIndex(good, ".")], ""},
		{"a session cut off", "Cookie", good[:len(good)-1], ""},
		{"a session of another key", "Cookie", cookie(other, ann), ""},
		{"an expired session", "Cookie", cookie(expired, ann), ""},
		{"no session", "Cookie", "__Host-session=", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			logs := &rt.Logs{}
			n := 0
			rt.Both(t, func() http.Handler { return service(t, logs, auth.NewTickets(time.Minute, 10)) }, func(t *testing.T, srv *httptest.Server) {
				res := rt.Do(t, srv, "GET", "/me/page", tt.header, tt.value)
				n++
				record := logs.Wait(t, n)[n-1]
				require.NotContains(t, logs.String(), "t-ann")
				if tt.want != "" {
					require.Equal(t, 200, res.StatusCode)
					require.Equal(t, tt.want, res.Text)
					require.Equal(t, tt.want, record["user"])
					require.Equal(t, "GET /me/{page}", record["request"].(map[string]any)["route"], "handed up")
					return
				}
				require.Equal(t, 401, res.StatusCode)
				require.Equal(t, []string{"Bearer", `Basic realm="the \"back\" office", charset="UTF-8"`}, res.Header.Values("WWW-Authenticate"))
				require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
				require.NotContains(t, record, "user")
			})
		})
	}
}

func TestSessionCookie(t *testing.T) {
	w := httptest.NewRecorder()
	sessions.Begin(w, ann)
	c := w.Result().Cookies()[0]
	require.NoError(t, c.Valid())
	require.True(t, c.Secure && c.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, c.SameSite)
	require.Equal(t, "/", c.Path)
	require.Empty(t, c.Domain)
	synctest.Test(t, func(t *testing.T) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", cookie(sessions, ann))
		time.Sleep(time.Hour - 2*time.Second)
		_, ok := sessions.Cookie().Identify(r)
		require.True(t, ok)
		time.Sleep(2 * time.Second)
		_, ok = sessions.Cookie().Identify(r)
		require.False(t, ok)
	})
}

func TestHandshakes(t *testing.T) {
	logs := &rt.Logs{}
	srv := rt.Serve(t, service(t, logs, auth.NewTickets(time.Minute, 10)), false)
	for _, tt := range []struct {
		name, query string
		header      http.Header
		status      int
		greeting    string
	}{
		{"nothing", "", nil, 401, ""},
		{"bearer", "", http.Header{"Authorization": {"Bearer t-ann"}}, 101, "hello ann"},
		{"session", "", http.Header{"Cookie": {cookie(sessions, ann)}}, 101, "hello ann"},
		{"session of the own page", "", http.Header{"Cookie": {cookie(sessions, ann)}, "Origin": {srv.URL}}, 101, "hello ann"},
		{"session from a foreign page", "", http.Header{"Cookie": {cookie(sessions, ann)}, "Origin": {"https://evil.example.net"}}, 403, ""},
		{"token in the query", "?access_token=t-bob", nil, 101, "hello " + bob.Name},
		{"a wrong one", "?access_token=t-eve", nil, 401, ""},
		{"an empty one", "?access_token=", nil, 401, ""},
		{"a ticket that was never issued", "?ticket=abc", nil, 401, ""},
		{"no ticket", "?ticket=", nil, 401, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := wstest.Request(t, srv.URL+"/ws"+tt.query)
			for name, values := range tt.header {
				req.Header[name] = values
			}
			c := wstest.Handshake(t, req, nil)
			require.Equal(t, tt.status, c.Response.StatusCode)
			if tt.status != 101 {
				require.Empty(t, c.Response.Header.Get("Upgrade"))
				return
			}
			c.ExpectText(tt.greeting)
			c.SendClose(1000, "")
			c.ExpectClose(1000)
		})
	}
	require.Contains(t, logs.String(), "/ws?access_token=xxx")
	for _, secret := range []string{"t-ann", "t-bob", "t-eve"} {
		require.NotContains(t, logs.String(), secret)
	}
}

// A token in the URL of a request that is not a handshake is ignored.
func TestQueryIsForHandshakesOnly(t *testing.T) {
	srv := rt.Serve(t, service(t, &rt.Logs{}, auth.NewTickets(time.Minute, 10)), false)
	require.Equal(t, 401, rt.Do(t, srv, "GET", "/me/page?access_token=t-ann").StatusCode)
}

func TestTicket(t *testing.T) {
	logs := &rt.Logs{}
	srv := rt.Serve(t, service(t, logs, auth.NewTickets(time.Minute, 2)), false)
	require.Equal(t, 401, rt.Do(t, srv, "POST", "/ticket").StatusCode)
	get := rt.Do(t, srv, "GET", "/ticket", "Authorization", "Bearer t-ann")
	require.Equal(t, 405, get.StatusCode)
	require.Equal(t, "POST", get.Header.Get("Allow"))

	res := rt.Do(t, srv, "POST", "/ticket", "Authorization", "Bearer t-ann")
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	require.Equal(t, 401, rt.Do(t, srv, "GET", "/me/page?ticket="+res.Text).StatusCode, "for handshakes only")

	c := wstest.Dial(t, srv.URL+"/ws?ticket="+res.Text, nil)
	c.ExpectText("hello ann")
	again := wstest.Handshake(t, wstest.Request(t, srv.URL+"/ws?ticket="+res.Text), nil)
	require.Equal(t, 401, again.Response.StatusCode, "once")

	for range 2 {
		require.Equal(t, 200, rt.Do(t, srv, "POST", "/ticket", "Authorization", "Bearer t-ann").StatusCode)
	}
	require.Equal(t, 503, rt.Do(t, srv, "POST", "/ticket", "Authorization", "Bearer t-ann").StatusCode, "bounded")
}

func handshake(ticket string) *http.Request {
	r := httptest.NewRequest("GET", "/ws?ticket="+ticket, nil)
	r.Header.Set("Upgrade", "websocket")
	return r
}

func TestTicketsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := auth.NewTickets(10*time.Second, 2)
		first, err := tickets.Issue(ann)
		require.NoError(t, err)
		_, err = tickets.Issue(ann)
		require.NoError(t, err)
		_, err = tickets.Issue(ann)
		require.ErrorIs(t, err, auth.ErrTooManyTickets)
		time.Sleep(10 * time.Second)
		_, ok := tickets.Query().Identify(handshake(first))
		require.False(t, ok)
		last, err := tickets.Issue(bob)
		require.NoError(t, err, "the expired ones have made room")
		id, ok := tickets.Query().Identify(handshake(last))
		require.True(t, ok)
		require.Equal(t, bob, id)
	})
}

func TestATicketIsUsedOnce(t *testing.T) {
	tickets := auth.NewTickets(time.Hour, 1)
	key, err := tickets.Issue(ann)
	require.NoError(t, err)
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, ok := tickets.Query().Identify(handshake(key)); ok {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, in.Load())
}

// A manager that was put in front of Require by mistake refuses all handshakes.
func TestAcceptOutsideOfRequire(t *testing.T) {
	chat := wsmanager.MustNew(wsmanager.Callbacks{OnAccept: auth.Accept}, wsmanager.Options{Logger: rt.Quiet()})
	t.Cleanup(func() { _ = chat.Shutdown(t.Context()) })
	srv := rt.Serve(t, pipeline.New().Mount("/ws", chat).Use(auth.Require(tokens.Bearer())).MustBuild(), false)
	req := wstest.Request(t, srv.URL+"/ws")
	req.Header.Set("Authorization", "Bearer t-ann")
	require.Equal(t, 500, wstest.Handshake(t, req, nil).Response.StatusCode)
}

// The fields that net/http needs are set on its own request, although handlers got a copy.
func TestTheRequestOutside(t *testing.T) {
	var outside *http.Request
	h := auth.Require(tokens.Bearer())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			panic(err)
		}
	}))
	body := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\ncontent\r\n--b--\r\n"
	outside = httptest.NewRequest("POST", "/", strings.NewReader(body))
	outside.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	outside.Header.Set("Authorization", "Bearer t-ann")
	h.ServeHTTP(httptest.NewRecorder(), outside)
	require.NotNil(t, outside.MultipartForm)
	require.NoError(t, outside.MultipartForm.RemoveAll())
	_, ok := auth.From(outside)
	require.False(t, ok, "the caller's request is not changed otherwise")
}

func TestMistakes(t *testing.T) {
	_, err := pipeline.New().Use(auth.Require()).Build()
	require.ErrorContains(t, err, "authentication.Require: no scheme is given")
}

func ExampleRequire() {
	tokens := auth.NewTokens(map[string]auth.Identity{"s3cret": {Name: "ann"}})
	app := pipeline.New().
		Use(auth.Require(tokens.Bearer())).
		RunFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := auth.From(r)
			_, _ = fmt.Fprintln(w, "hello", id.Name)
		}).
		MustBuild()
	for _, token := range []string{"s3cret", "guess"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 hello ann
	// 401 Unauthorized
}

package hub_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// ConnContext sees the request of the first socket. Its values reach all calls and hooks of the connection.
func TestConnContext(t *testing.T) { onEachDriver(t, testConnContext) }

func testConnContext(t *testing.T) {
	type baseKey struct{}
	type roomKey struct{}
	room := func(ctx context.Context) string {
		text, _ := ctx.Value(roomKey{}).(string)
		base, _ := ctx.Value(baseKey{}).(string)
		return base + " " + text
	}
	hooks := make(chan string, 10)
	opts := hub.Options{
		Authenticate: named,
		ConnContext: func(ctx context.Context, r *http.Request) context.Context {
			if r.URL.Query().Get("room") == "none" {
				return nil
			}
			return context.WithValue(ctx, roomKey{}, r.URL.Query().Get("room")+r.Header.Get("X-Room"))
		},
		Connected:    func(ctx *hub.Context) error { hooks <- room(ctx); return nil },
		Disconnected: func(ctx *hub.Context, _ error) { hooks <- room(ctx) },
	}
	opts.WebSocket.BaseContext = context.WithValue(context.Background(), baseKey{}, "base")
	_, url := serve(t, hub.Methods{
		"Room":  func(ctx *hub.Context) string { return room(ctx) },
		"Plain": func(ctx context.Context) string { return room(ctx) },
	}, opts)
	for _, target := range []string{url + "?room=a", url + "?room=a&id=" + negotiate(t, url, "negotiateVersion=1&room=z").ConnectionToken} {
		p := &peer{Client: wstest.Dial(t, target, http.Header{"X-Room": {"b"}}), t: t}
		p.shake()
		require.Equal(t, "base ab", <-hooks)
		p.result(`"base ab"`, "Room")
		p.result(`"base ab"`, "Plain")
		p.SendClose(1000, "")
		p.ExpectClose(1000)
		require.Equal(t, "base ab", <-hooks)
	}
	require.Equal(t, http.StatusInternalServerError, status(t, url+"?room=none"))
	k := negotiate(t, url, "negotiateVersion=1")
	require.Equal(t, http.StatusInternalServerError, status(t, url+"?room=none&id="+k.ConnectionToken))
	require.Equal(t, http.StatusNotFound, status(t, url+"?room=c&id="+k.ConnectionToken), "the token is used up")
}

// A connection ends when its identity expires. The client may reconnect. Resuming sets a new time.
func TestExpires(t *testing.T) {
	expires := make(map[string]time.Duration) // by user, from now
	begin := time.Time{}
	ended := make(chan error, 10)
	runInFakeTime(t, echoes, hub.Options{
		StatefulReconnect: true,
		ResumeWindow:      time.Minute,
		Authenticate: func(r *http.Request, _ string) (hub.Identity, error) {
			i := hub.Identity{User: r.URL.Query().Get("user")}
			if d, ok := expires[i.User]; ok {
				i.Expires = begin.Add(d)
			}
			return i, nil
		},
		Disconnected: func(_ *hub.Context, err error) { ended <- err },
	}, func(t *testing.T, h *hub.Hub) {
		begin = time.Now()
		const allowed = `{"type":7,"allowReconnect":true}`
		after := func(d time.Duration) {
			t.Helper()
			require.ErrorIs(t, await(ended), hub.ErrExpired)
			require.InDelta(t, d.Seconds(), time.Since(begin).Seconds(), 0.1)
		}
		expires["a"] = 50 * time.Second
		p := dialHandler(t, h, "/hub?user=a").shake()
		done := make(chan struct{})
		go func() { // keeps the connection alive
			defer close(done)
			for range 3 {
				time.Sleep(14 * time.Second)
				p.send(`{"type":6}`)
			}
		}()
		require.Equal(t, allowed, p.readToClose(1000))
		after(50 * time.Second)
		<-done
		require.Equal(t, http.StatusUnauthorized, wstest.HandshakeHandler(t, h, wstest.Request(t, "/hub?user=a"), nil, wstest.Memory{Patience: time.Hour}).Response.StatusCode)

		// A connection that is resumed gets the new time.
		expires[""] = 60 * time.Second
		s, p := newStateful(t, h)
		p.Kill()
		synctest.Wait()
		expires[""] = 75 * time.Second
		p = s.resume()
		p.send(sequence(1))
		require.Equal(t, allowed, p.readToClose(1000))
		after(75 * time.Second)

		// A connection that waits to be resumed ends, too, and its token does not begin another one.
		expires[""] = 90 * time.Second
		s, p = newStateful(t, h)
		p.Kill()
		after(90 * time.Second)
		delete(expires, "")
		require.Equal(t, http.StatusNotFound, s.status())

		// Before its handshake is done, a connection ends without a hook.
		expires["b"] = 95 * time.Second
		p = dialHandler(t, h, "/hub?user=b")
		p.ExpectClose(1000)
		require.InDelta(t, 95, time.Since(begin).Seconds(), 0.1)
		require.Empty(t, ended)
	})
}

// With DisconnectedAfterCalls, Disconnected is called when the last call has returned, and without it at once.
func TestDisconnectedAfterCalls(t *testing.T) { onEachDriver(t, testDisconnectedAfterCalls) }

func testDisconnectedAfterCalls(t *testing.T) {
	for _, waits := range []bool{false, true} {
		events, began, release := make(chan string, 10), make(chan bool), make(chan bool)
		h, url := serve(t, hub.Methods{
			"Work": func(ctx *hub.Context) {
				began <- true
				<-ctx.Done()
				events <- "canceled"
				<-release
				events <- "returned"
			},
		}, hub.Options{
			MaxParallelCalls:       2,
			DisconnectedAfterCalls: waits,
			Disconnected:           func(*hub.Context, error) { events <- "disconnected" },
		})
		p := connect(t, url)
		p.send(invocation("1", "Work"), invocation("", "Work"), invocation("3", "Work")) // the third one does not begin
		<-began
		<-began
		p.Kill()
		var got []string
		next := func(n int) {
			for range n {
				got = append(got, <-events)
			}
		}
		want := []string{"canceled", "canceled", "returned", "returned", "disconnected"}
		if waits {
			next(2)
			require.Empty(t, events)
		} else {
			want = []string{"canceled", "canceled", "disconnected", "returned", "returned"}
			next(3)
		}
		close(release)
		next(len(want) - len(got))
		if !waits {
			require.ElementsMatch(t, want[:3], got[:3])
			require.Equal(t, want[3:], got[3:])
		} else {
			require.Equal(t, want, got)
		}
		require.NoError(t, h.Shutdown(t.Context()))
	}
}

// The counters of a hub.
func TestStats(t *testing.T) { onEachDriver(t, testStats) }

func testStats(t *testing.T) {
	began, release := make(chan bool), make(chan bool)
	h, url := serve(t, hub.Methods{
		"Add":  func(a, b int) int { return a + b },
		"Wait": func() { began <- true; <-release },
	}, hub.Options{StatefulReconnect: true})
	requireStats := func(want hub.Stats) {
		t.Helper()
		require.Eventually(t, func() bool {
			got := h.Stats()
			got.WebSockets = wsmanager.Stats{}
			return reflect.DeepEqual(want, got)
		}, wstest.Patience, time.Millisecond)
	}
	requireStats(hub.Stats{})
	k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
	negotiate(t, url, "negotiateVersion=1")
	p := dial(t, url+"?id="+k.ConnectionToken)
	p.noAcks = true
	p.send(`{"protocol":"json","version":2}`)
	p.expect(`{}`)
	p.result("3", "Add", 1, 2)
	p.failure("Failed to invoke 'None' due to an error on the server. HubException: Method does not exist.", "None")
	p.send(invocation("", "Wait"), invocation("", "Wait"))
	<-began
	requireStats(hub.Stats{Connections: 1, PendingCalls: 2, Negotiations: 2, Handshakes: 1, Calls: 2, FailedCalls: 1})
	p.Kill()
	require.Eventually(t, func() bool { return h.Stats().Suspended == 1 }, wstest.Patience, time.Millisecond)
	p = dial(t, url+"?id="+k.ConnectionToken)
	p.noAcks = true
	p.send(sequence(1))
	require.Eventually(t, func() bool { return h.Stats().Resumptions == 1 }, wstest.Patience, time.Millisecond)
	close(release)
	<-began
	p.send(`{"type":7}`)
	p.ExpectClose(1000)
	requireStats(hub.Stats{UsedTokens: 1, Negotiations: 2, Handshakes: 1, Resumptions: 1, Calls: 4, FailedCalls: 1})
	require.EqualValues(t, 2, h.Stats().WebSockets.Accepted)
}

// A caller can select connections by their ids.
func TestCallerSelectsConnections(t *testing.T) { onEachDriver(t, testCallerSelectsConnections) }

func testCallerSelectsConnections(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"ID":   func(ctx *hub.Context) string { return ctx.ConnectionID() },
		"Tell": func(ctx *hub.Context, ids []string) error { return ctx.Clients().Connections(ids...).Send("told") },
	}, hub.Options{})
	var ids []string
	var peers []*peer
	for range 3 {
		p := connect(t, url)
		var answer struct{ Result string }
		require.NoError(t, json.Unmarshal([]byte(p.call("1", "ID")), &answer))
		peers, ids = append(peers, p), append(ids, answer.Result)
	}
	const told, done = `{"type":1,"target":"told","arguments":[]}`, `{"type":3,"invocationId":"1","result":null}`
	peers[0].send(invocation("1", "Tell", []string{ids[0], ids[1], "unknown"}))
	peers[0].expect(told, done)
	peers[1].expect(told)
	peers[2].send(invocation("1", "Tell", []string{}))
	peers[2].expect(done)
}

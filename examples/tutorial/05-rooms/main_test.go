package main

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

func TestRooms(t *testing.T) {
	srv := httptest.NewServer(newApp(newChat()).MustBuild())
	t.Cleanup(srv.Close)
	join := func(query, greeting string) *wstest.Client {
		c := wstest.Dial(t, srv.URL+"/ws?"+query, nil)
		c.ExpectText(greeting)
		return c
	}
	ann := join("name=Ann&room=tea", "Ann is here")
	bob := join("name=Bob&room=tea", "Bob is here")
	ann.ExpectText("Bob is here")
	eve := join("name=Eve", "Eve is here")

	bob.SendText("milk?")
	ann.ExpectText("Bob: milk?")
	eve.SendText("anybody?")
	eve.ExpectText("Eve: anybody?") // and no message before it

	for query, want := range map[string]string{"room=tea": "[Ann Bob]\n", "": "[Eve]\n", "room=attic": "[]\n"} {
		res, err := srv.Client().Get(srv.URL + "/who?" + query)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, string(body))
	}

	bob.SendBinary([]byte{0xff})
	require.Equal(t, "text only", bob.ExpectClose(1003))
	ann.ExpectText("Bob has left")
}

func TestBadNames(t *testing.T) {
	app := newApp(newChat()).MustBuild()
	for _, query := range []string{"", "name=", "name=%ff", "name=" + strings.Repeat("x", 31), "name=Ann&room=" + strings.Repeat("x", 31)} {
		c := wstest.HandshakeHandler(t, app, wstest.Request(t, "/ws?"+query), nil, wstest.Memory{})
		require.Equal(t, 400, c.Response.StatusCode, query)
	}
}

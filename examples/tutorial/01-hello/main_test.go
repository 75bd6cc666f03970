package main

import (
	"io"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHello(t *testing.T) {
	srv := httptest.NewServer(newApp().MustBuild())
	t.Cleanup(srv.Close)
	res, err := srv.Client().Get(srv.URL + "/any/path")
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "hello\n", string(body))
}

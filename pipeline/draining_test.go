package pipeline_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// A stream ends when the server drains, and Serve returns without an error.
func TestDraining(t *testing.T) {
	type key struct{}
	stream := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Context().Value(key{}).(string))
		_ = http.NewResponseController(w).Flush()
		<-pipeline.Draining(r.Context())
		_, _ = io.WriteString(w, ", the end")
	}
	for _, tt := range []struct {
		name string
		h    http.Handler
		end  func(srv *http.Server, stop func())
	}{
		{"the context ends", http.HandlerFunc(stream), func(_ *http.Server, stop func()) { stop() }},
		{"Shutdown from elsewhere", http.HandlerFunc(stream), func(srv *http.Server, _ func()) { _ = srv.Shutdown(context.WithoutCancel(t.Context())) }},
		{"below components", pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{}), middleware.Timeout(pipeline.DrainTimeout)).RunFunc(stream).MustBuild(),
			func(_ *http.Server, stop func()) { stop() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := &http.Server{Handler: tt.h, BaseContext: func(net.Listener) context.Context {
				return context.WithValue(context.Background(), key{}, "begun")
			}}
			url, stop, done := serving(t, srv)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := client.Get(url)
			require.NoError(t, err)
			defer res.Body.Close()
			_, err = io.ReadFull(res.Body, make([]byte, len("begun")))
			require.NoError(t, err)
			tt.end(srv, stop)
			rest, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, ", the end", string(rest))
			require.NoError(t, wait(t, done))
		})
	}
}

func TestDrainingWithoutServe(t *testing.T) {
	require.Nil(t, pipeline.Draining(t.Context()))
}

package wsmanager

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// net/http's own writers have the fields that are read. If this fails with a new release
// of Go, a field has another name: handshakes then take the way that needs no such
// knowledge, on which components above don't see the 101. See ownWriter.
func TestOwnWriterHasTheFields(t *testing.T) {
	for name, tt := range map[string]struct {
		configure func(*httptest.Server)
		find      func(http.ResponseWriter) ownWriter
	}{
		"HTTP/1.1":          {(*httptest.Server).Start, findOwn},
		"HTTP/1.1 over TLS": {(*httptest.Server).StartTLS, findOwn},
		"HTTP/2":            {func(srv *httptest.Server) { srv.EnableHTTP2 = true; srv.StartTLS() }, findOwnStream},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				own := tt.find(w)
				if !own.known() || !isOwn(w) {
					t.Errorf("the fields of %T are not as they were", w)
					return
				}
				if own.wroteHeader() || len(own.header()) > 0 {
					t.Error("something is there at the beginning")
				}
				w.Header().Add("X-Two", "1")
				w.Header().Add("X-Two", "2")
				w.WriteHeader(http.StatusEarlyHints)
				if own.wroteHeader() {
					t.Error("an informational status counts")
				}
				w.WriteHeader(http.StatusTeapot)
				if !own.wroteHeader() || own.status() != http.StatusTeapot || len(own.header()["X-Two"]) != 2 || own.header()["X-Two"][1] != "2" {
					t.Errorf("%v, %d and %v were read", own.wroteHeader(), own.status(), own.header())
				}
			}))
			tt.configure(srv)
			defer srv.Close()
			res, err := srv.Client().Get(srv.URL)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusTeapot, res.StatusCode)
		})
	}
}

// What is not net/http's own is not taken for it.
func TestNotOwnWriter(t *testing.T) {
	for name, w := range map[string]http.ResponseWriter{
		"a recorder":   httptest.NewRecorder(),
		"nothing":      nil,
		"a nil inside": struct{ http.ResponseWriter }{},
	} {
		t.Run(name, func(t *testing.T) {
			require.False(t, findOwn(w).known())
			require.False(t, findOwn(w).wroteHeader())
			require.Empty(t, findOwn(w).header())
			if w != nil {
				require.False(t, isOwn(w))
			}
		})
	}
	http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		require.False(t, findOwn(w).known())
	}), 1<<40, "").ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

package handshake

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// net/http's own writers have the fields that are read. If this fails with a new release
// of Go, a field has another name: Upgrade then does without it, and outer components
// don't see the 101. See serverWriter.
func TestServerWriterHasTheFields(t *testing.T) {
	for name, tt := range map[string]struct {
		configure func(*httptest.Server)
		find      func(http.ResponseWriter) serverWriter
	}{
		"HTTP/1.1":          {(*httptest.Server).Start, findServerWriter},
		"HTTP/1.1 over TLS": {(*httptest.Server).StartTLS, findServerWriter},
		"HTTP/2":            {func(srv *httptest.Server) { srv.EnableHTTP2 = true; srv.StartTLS() }, findStreamWriter},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				server := tt.find(w)
				if !server.known() || !isServerWriter(w) {
					t.Errorf("the fields of %T are not as they were", w)
					return
				}
				if server.wroteHeader() || len(server.header()) > 0 {
					t.Error("something is there at the beginning")
				}
				w.Header().Add("X-Two", "1")
				w.Header().Add("X-Two", "2")
				w.WriteHeader(http.StatusEarlyHints)
				if server.wroteHeader() {
					t.Error("an informational status counts")
				}
				w.WriteHeader(http.StatusTeapot)
				if !server.wroteHeader() || server.status() != http.StatusTeapot || len(server.header()["X-Two"]) != 2 || server.header()["X-Two"][1] != "2" {
					t.Errorf("%v, %d and %v were read", server.wroteHeader(), server.status(), server.header())
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

// Other writers are not taken for net/http's own.
func TestNotServerWriter(t *testing.T) {
	for name, w := range map[string]http.ResponseWriter{
		"a recorder":   httptest.NewRecorder(),
		"nothing":      nil,
		"a nil inside": struct{ http.ResponseWriter }{},
	} {
		t.Run(name, func(t *testing.T) {
			require.False(t, findServerWriter(w).known())
			require.False(t, findServerWriter(w).wroteHeader())
			require.Empty(t, findServerWriter(w).header())
			if w != nil {
				require.False(t, isServerWriter(w))
			}
		})
	}
	http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		require.False(t, findServerWriter(w).known())
	}), 1<<40, "").ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

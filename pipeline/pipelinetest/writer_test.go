package pipelinetest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

// The methods are exactly those of net/http's own writers, except those for tests.
func TestMethodsAreNetHTTPs(t *testing.T) {
	for _, tt := range []struct {
		http2 bool
		ours  http.ResponseWriter
	}{{false, pipelinetest.NewHTTP1()}, {true, pipelinetest.NewHTTP2()}} {
		t.Run(fmt.Sprintf("http2=%v", tt.http2), func(t *testing.T) {
			methods := func(w http.ResponseWriter) (names []string) {
				for m := range reflect.TypeOf(w).Methods() {
					switch m.Name {
					case "Reset", "Status", "BytesWritten": // for tests
					default:
						names = append(names, m.Name)
					}
				}
				return names
			}
			theirs := make(chan []string, 1)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { theirs <- methods(w) }))
			srv.EnableHTTP2 = tt.http2
			srv.StartTLS()
			defer srv.Close()
			res, err := srv.Client().Get(srv.URL)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, tt.http2, res.ProtoMajor == 2)
			require.Equal(t, <-theirs, methods(tt.ours))
		})
	}
}

func TestWriter(t *testing.T) {
	w := pipelinetest.NewHTTP1()
	w.Header().Set("X", "y")
	w.WriteHeader(http.StatusEarlyHints)
	require.Zero(t, w.Status())
	w.WriteHeader(http.StatusAccepted)
	_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("hello")})
	require.NoError(t, err)
	w.WriteHeader(500)
	require.Equal(t, 202, w.Status())
	require.EqualValues(t, 5, w.BytesWritten())
	w.Reset()
	require.Zero(t, w.Status())
	require.Zero(t, w.BytesWritten())
	require.Empty(t, w.Header())
	w.Flush()
	require.Equal(t, 200, w.Status())
}

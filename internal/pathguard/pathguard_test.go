package pathguard_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/pathguard"
)

func TestEscapedSlash(t *testing.T) {
	for _, tt := range []struct {
		path, raw string
		want      bool
	}{
		{"/a/b", "", false},
		{"/a/b", "/a%2Fb", true},
		{"/a/b", "/a%2fb", true},
		{"/a/b", "/%61/b", false},
		{"/a%2Fb", "/a%252Fb", false},
		{"/a/b/c", "/a%2Fb", false}, // Path was rewritten
		{"/a/b", "/a%2Fb/c", false},
		{"/a/c", "/a%2Fb", false},
		{"/a/b", "/a%2", false},
		{"/a/b", "/a%2Gb", false},
		{"", "%2F", false},
		{"/", "%2F", true},
		{"/a/|", "/a%2F|", true},
	} {
		require.Equal(t, tt.want, pathguard.EscapedSlash(&url.URL{Path: tt.path, RawPath: tt.raw}), "%q, %q", tt.path, tt.raw)
	}
}

// net/url accepts the result, with the same meaning and the same slashes.
func FuzzValidRaw(f *testing.F) {
	f.Add("/a%2Fb|c")
	f.Add("/\xff\"<>^`{}\\%2f[]!")
	f.Fuzz(func(t *testing.T, raw string) {
		before, err := url.ParseRequestURI(raw)
		if err != nil || before.RawPath != raw || !pathguard.EscapedSlash(before) {
			return
		}
		valid := pathguard.ValidRaw(raw)
		after := &url.URL{Path: before.Path, RawPath: valid}
		require.Equal(t, valid, after.EscapedPath())
		require.True(t, pathguard.EscapedSlash(after))
		if before.EscapedPath() == raw {
			require.Equal(t, raw, valid)
		}
	})
}

func TestRefuseReports(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	require.Zero(t, pathguard.From(r))
	var got []string
	inside := pathguard.With(r, pathguard.State{Data: true, Report: func(r *http.Request, status int, reason string) {
		require.Equal(t, 400, status)
		got = append(got, r.URL.Path+" "+reason)
	}})
	require.True(t, pathguard.From(inside).Data)
	w := httptest.NewRecorder()
	pathguard.Refuse(w, inside, http.StatusBadRequest, pathguard.NUL)
	require.Equal(t, []string{"/x a NUL byte"}, got)
	require.Equal(t, "400 Bad Request: a NUL byte\n", w.Body.String())
	pathguard.Refuse(httptest.NewRecorder(), r, http.StatusBadRequest, pathguard.NUL)
	require.Len(t, got, 1, "no pipeline around")
}

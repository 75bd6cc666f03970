package middleware_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

// A malformed form or query is the client's mistake, and no reason for an alarm.
func TestMalformedForms(t *testing.T) {
	const form, multi = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
	for _, tt := range []struct {
		name, target, kind, body string
		parse                    func(r *http.Request) error
		status                   int
	}{
		{"an escape in a form", "/", form, "a=%zz", (*http.Request).ParseForm, 400},
		{"an escape in the query", "/?a=%zz", form, "", (*http.Request).ParseForm, 400},
		{"a semicolon in the query", "/?a=1;b=2", form, "", (*http.Request).ParseForm, 400},
		{"an empty multipart form", "/", multi, "", func(r *http.Request) error { return r.ParseMultipartForm(1 << 20) }, 400},
		{"a multipart form that is none", "/", multi, "hello", func(r *http.Request) error { return r.ParseMultipartForm(1 << 20) }, 400},
		{"the URL of another server", "/", form, "", func(*http.Request) error {
			_, err := url.ParseRequestURI("http://example.com/%zz")
			return err
		}, 500},
		{"another error", "/", form, "", func(*http.Request) error { return errors.New("no disk") }, 500},
		{"a panic", "/", form, "", func(*http.Request) error { panic("multipart: NextPart: EOF") }, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l logs
			h := middleware.Recover(middleware.RecoverOptions{Logger: l.logger()})(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error { return tt.parse(r) }))
			r := httptest.NewRequest(http.MethodPost, tt.target, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.kind)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, tt.status == 500, l.records(t)[0]["level"] == "ERROR")
		})
	}
}

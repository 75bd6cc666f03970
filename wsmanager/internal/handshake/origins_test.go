package handshake

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOriginsContain(t *testing.T) {
	for _, tt := range []struct {
		listed  string
		in, out []string
	}{
		{"https://app.example.com",
			[]string{"https://APP.example.com", "https://app.example.com:443"},
			[]string{"http://app.example.com", "https://app.example.com:8443", "https://app.example.com.", "https://x.app.example.com", "app://app.example.com"}},
		{"https://app.example.com.",
			[]string{"https://app.example.com."},
			[]string{"https://app.example.com"}},
		{"https://[2001:DB8:0::1]",
			[]string{"https://[2001:db8::1]"},
			[]string{"https://2001.db8"}},
		{"capacitor://localhost",
			[]string{"capacitor://localhost", "CAPACITOR://localhost"},
			[]string{"capacitor://Localhost", "capacitor://localhost:80", "capacitor://localhost.", "ionic://localhost", "http://localhost", "https://localhost", "capacitor://", "capacitor://localhost.evil.example"}},
		{"app://localhost:3000",
			[]string{"app://localhost:3000"},
			[]string{"app://localhost", "app://localhost:3001", "http://localhost:3000"}},
		{"chrome-extension://abcdefghijklmnopabcdefghijklmnop",
			[]string{"chrome-extension://abcdefghijklmnopabcdefghijklmnop"},
			[]string{"chrome-extension://abcdefghijklmnopabcdefghijklmnoo", "moz-extension://abcdefghijklmnopabcdefghijklmnop", "chrome-extension://ABCDEFGHIJKLMNOPABCDEFGHIJKLMNOP"}},
		{"https://*.example.com",
			[]string{"https://a.example.com", "https://A.EXAMPLE.com:443", "https://a.b.example.com", "https://xn--bcher-kva.example.com", "https://my_app.example.com", "https://1.2.3.example.com"},
			[]string{
				"https://example.com", "http://a.example.com", "https://a.example.com:8443", "https://aexample.com", "https://a-example.com", "https://evilexample.com",
				"https://a.example.com.", "https://.example.com", "https://a..example.com", "https://..example.com", "https://a.example.com.evil.example", "https://example.com.evil.example",
				"https://a.example.comx", "https://a.example.co", "https://a.example.com:0443", "app://a.example.com", "https://[::1]", "https://a+b.example.com", "https://evil;.example.com",
				"https://evil.example$.example.com", "https://a!.example.com", "https://127.0.0.1",
			}},
		{"http://*.dev.example.com:3000",
			[]string{"http://a.dev.example.com:3000"},
			[]string{"http://a.dev.example.com", "https://a.dev.example.com:3000", "http://a.example.com:3000", "http://dev.example.com:3000"}},
		// A public suffix below the domain has other owners below it.
		{"https://*.amazonaws.com",
			[]string{"https://console.amazonaws.com"},
			[]string{"https://evil.s3.amazonaws.com", "https://s3.amazonaws.com", "https://x.evil.s3.amazonaws.com"}},
		{"https://*.mine.github.io",
			[]string{"https://a.mine.github.io"},
			[]string{"https://evil.github.io", "https://mine.github.io"}},
		{"https://*.www.ck", // an exception to the rule *.ck
			[]string{"https://a.www.ck"},
			[]string{"https://a.other.ck"}},
		{"https://*.xn--bcher-kva.example.com",
			[]string{"https://a.XN--bcher-kva.example.com"},
			[]string{"https://a.bucher.example.com"}},
	} {
		s := originsOf(t, "https://first.example", tt.listed, "https://last.example")
		for _, origin := range tt.in {
			o, err := ParseOrigin(origin)
			require.NoError(t, err, origin)
			require.True(t, s.Contains(o), "%s: %s", tt.listed, origin)
		}
		for _, origin := range tt.out {
			if o, err := ParseOrigin(origin); err == nil {
				require.False(t, s.Contains(o), "%s: %s", tt.listed, origin)
			}
		}
	}
	var none Origins
	require.False(t, none.Contains(Origin{}))
}

func TestOriginsThatAreNotAdded(t *testing.T) {
	for text, want := range map[string]string{
		"*":                             "list the origins, or set DangerouslyAllowAny",
		"null":                          "only DangerouslyAllowAny accepts it",
		"file://":                       "only DangerouslyAllowAny accepts it",
		"app://":                        "has no host",
		"chrome-extension://":           "has no host",
		"https://*":                     "not the whole first label",
		"https://*example.com":          "not the whole first label",
		"https://a*.example.com":        "not the whole first label",
		"https://a.*.example.com":       "not the whole first label",
		"https://*.*.example.com":       "not the whole first label",
		"https://example.*":             "not the whole first label",
		"https://**.example.com":        "not the whole first label",
		"*://example.com":               "not the whole first label",
		"https://*.example.com:*":       "not the whole first label",
		"*.example.com":                 "not the whole first label",
		"http*://*.example.com":         "not the whole first label",
		"https://*.example.com/":        "must be scheme, host and port only",
		"https://me@*.example.com":      "not the whole first label",
		"https://*.me@example.com":      "must be scheme, host and port only",
		"https://*.example.com:0":       "has an invalid port",
		"https://*.b\u00fccher.example": "write it in its ASCII form",
		"https://*.":                    "has no host",
		"https://*..com":                "not a domain",
		"https://*.example..com":        "not a domain",
		"https://*.example.com.":        "not a domain",
		"https://*.com.":                "not a domain",
		"https://*.0.0.1":               "not a domain",
		"https://*.1":                   "not a domain",
		"https://*.0.0.0x1":             "not a domain",
		"https://*.0x":                  "not a domain",
		"https://*.[::1]":               "not a domain",
		"https://*.a+b.example.com":     "not a domain",
		"app://*.example.com":           "only possible with https",
		"chrome-extension://*":          "not the whole first label",
		"https://*.com":                 "public suffix",
		"https://*.COM:8443":            "public suffix",
		"https://*.co.uk":               "public suffix",
		"https://*.github.io":           "public suffix",
		"https://*.s3.amazonaws.com":    "public suffix",
		"https://*.vercel.app":          "public suffix",
		"https://*.xn--p1ai":            "public suffix",
		"https://*.XN--P1AI":            "public suffix",
		"https://*.anything.ck":         "public suffix",
		"https://*.kawasaki.jp":         "public suffix", // all names below it are, or are exceptions
		"https://*.ck":                  "public suffix",
		"https://*.localhost":           "public suffix",
		"http://*.internal":             "public suffix",
	} {
		var s Origins
		require.ErrorContains(t, s.Add(text), want, "%q", text)
		require.Empty(t, s.listed)
		require.Empty(t, s.wildcards)
	}
}

// FuzzOrigins adds any text, and compares an origin with it. A set contains no origin that
// browsers take for another site.
func FuzzOrigins(f *testing.F) {
	for _, listed := range []string{"https://*.example.com", "https://app.example.com:8443", "capacitor://localhost", "https://*.amazonaws.com", "http://[::1]", "app://.", "https://*.co.uk", "null"} {
		for _, origin := range []string{"https://a.example.com", "https://app.example.com:8443", "capacitor://localhost", "https://x.s3.amazonaws.com", "http://[0::1]:80", "app://.", "https://a.b.co.uk", "file://", "app://[::1]"} {
			f.Add(listed, origin)
		}
	}
	f.Fuzz(func(t *testing.T, listed, origin string) {
		var s Origins
		if s.Add(listed) != nil {
			require.Empty(t, s)
		}
		o, err := ParseOrigin(origin)
		if err != nil {
			return
		}
		again, err := ParseOrigin(o.String())
		require.NoError(t, err)
		require.Equal(t, o, again)
		if o.host != "" {
			u, err := ParseOrigin(o.url().String())
			require.NoError(t, err)
			require.Equal(t, o, u)
		}
		if !s.Contains(o) {
			return
		}
		// What follows is a second opinion, with package net/url alone.
		in, err := url.Parse(strings.ToLower(strings.Replace(listed, "*.", "", 1)))
		require.NoError(t, err)
		from, err := url.Parse(strings.ToLower(origin))
		require.NoError(t, err)
		require.Equal(t, in.Scheme, from.Scheme)
		require.NotEqual(t, "file", from.Scheme)
		if strings.Contains(listed, "*") {
			require.True(t, strings.HasSuffix(from.Hostname(), "."+in.Hostname()))
			require.Contains(t, in.Hostname(), ".")
		} else if !strings.Contains(from.Hostname(), ":") {
			require.Equal(t, in.Hostname(), from.Hostname())
		}
	})
}

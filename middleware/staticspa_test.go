package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

const (
	chromeAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
	safariAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

// A cache must not send the answer for a script to browsers.
func TestStaticFilesFallbackVaries(t *testing.T) {
	h := pipeline.New().Use(middleware.StaticFiles(middleware.StaticFilesOptions{
		FS: fstest.MapFS{"index.html": {Data: []byte("app")}}, Fallback: "index.html",
	})).Run(http.NotFoundHandler()).MustBuild()
	for target, varies := range map[string]bool{"/page": true, "/a%2Fb": true, "/missing.js": false, "/.env": false} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("Accept", "*/*")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusNotFound, w.Code)
		require.Equal(t, varies, w.Header().Get("Vary") == "Accept", target)
	}
}

func TestStaticFilesFallback(t *testing.T) {
	h := pipeline.New().
		Map("/api", func(b *pipeline.Builder) { b.Run(text("api")) }).
		Use(middleware.StaticFiles(middleware.StaticFilesOptions{
			FS: fstest.MapFS{
				"index.html": {Data: []byte("app")}, "index.html.br": {Data: []byte("br app")}, "admin.html": {Data: []byte("admin")},
				"assets/main.3f2a1b9c.js": {Data: []byte("js")}, "favicon.ico": {Data: []byte("icon")},
			},
			Fallback: "index.html",
			Types:    map[string]string{".glb": "model/gltf-binary"},
		})).
		Run(text("next")).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for _, tt := range []struct{ method, target, accept, body string }{
			{"GET", "/", chromeAccept, "app"},
			{"GET", "/users/7", chromeAccept, "app"},
			{"GET", "/users/7/", safariAccept, "app"},
			{"GET", "/users/7?tab=1", "text/html", "app"},
			{"GET", "/users/jane.doe", chromeAccept, "app"},
			{"GET", "/releases/v1.2", chromeAccept, "app"},
			{"GET", "/mail/me@example.com", chromeAccept, "app"},
			{"GET", "/time/12:30", chromeAccept, "app"},
			{"GET", "/users/a%2Fb", chromeAccept, "app"},
			{"GET", "/go/https%3A%2F%2Fexample.com", chromeAccept, "app"},
			{"GET", "/assets", chromeAccept, "app"},
			{"GET", "/assets/", chromeAccept, "app"},
			{"GET", "/page", "text/*", "app"},
			{"GET", "/page", "application/json, text/html;q=0.1", "app"},
			{"GET", "/page", "application/xhtml+xml", "app"},
			{"HEAD", "/page", chromeAccept, ""},
			{"GET", "/admin.html", chromeAccept, "admin"},
			{"GET", "/favicon.ico", "image/*", "icon"},
			{"GET", "/api/missing", chromeAccept, "api"},

			{"GET", "/page", "", "next"},
			{"GET", "/page", "*/*", "next"},
			{"GET", "/page", "application/json", "next"},
			{"GET", "/page", "application/json, */*;q=0.1", "next"},
			{"GET", "/page", "text/html;q=0, */*", "next"},
			{"GET", "/page", "text/plain", "next"},
			{"GET", "/assets/missing.js", chromeAccept, "next"},
			{"GET", "/assets/missing.css", "text/html", "next"},
			{"GET", "/missing.PNG", chromeAccept, "next"},
			{"GET", "/missing.html", chromeAccept, "next"},
			{"GET", "/scene.glb", chromeAccept, "next"},
			{"GET", "/.env", chromeAccept, "next"},
			{"GET", "/.git/config", chromeAccept, "next"},
			{"GET", "/a/.b/c", chromeAccept, "next"},
			{"GET", "/.well-known/acme-challenge/x", chromeAccept, "next"},
			{"POST", "/page", chromeAccept, "next"},
			{"DELETE", "/page", chromeAccept, "next"},
			{"OPTIONS", "/page", chromeAccept, "next"},
		} {
			var header []string
			if tt.accept != "" {
				header = []string{"Accept", tt.accept}
			}
			res, body := fetch(t, srv, tt.method, tt.target, header...)
			require.Equal(t, 200, res.StatusCode, "%+v", tt)
			require.Equal(t, tt.body, body, "%+v", tt)
			if body == "app" || tt.method == "HEAD" {
				require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
				require.Equal(t, "no-cache", res.Header.Get("Cache-Control"))
				require.NotEmpty(t, res.Header.Get("Etag"))
				require.Equal(t, tt.target != "/", strings.Contains(res.Header.Get("Vary"), "Accept,"), tt.target)
			}
		}

		res, _ := fetch(t, srv, "GET", "/users/7", "Accept", chromeAccept)
		res, _ = fetch(t, srv, "GET", "/users/8", "Accept", chromeAccept, "If-None-Match", res.Header.Get("Etag"))
		require.Equal(t, 304, res.StatusCode)
		require.Equal(t, "no-cache", res.Header.Get("Cache-Control"))
		res, body := fetch(t, srv, "GET", "/users/7", "Accept", chromeAccept, "Accept-Encoding", "br, gzip")
		require.Equal(t, "br app", body)
		require.Equal(t, "br", res.Header.Get("Content-Encoding"))
		require.Equal(t, "Accept, Accept-Encoding", res.Header.Get("Vary"))
	})
}

// With a fallback, pages are revalidated and hashed names are immutable.
func TestStaticFilesCacheRules(t *testing.T) {
	const immutable = "max-age=31536000, immutable"
	rules := map[string]string{
		"index.html": "no-cache", "about.htm": "no-cache", "page.3f2a1b9c.html": "no-cache",
		// webpack, Parcel, CRA, Vite, Rollup, esbuild, Angular, SvelteKit, Next, Nuxt
		"main.3f2a1b9c.js": immutable, "main.8e1cdef4.chunk.js": immutable, "main.8e1cdef4.chunk.css.map": immutable, "787.0a1b2c3d4e5f6a7b.js": immutable,
		"main.4e38bc9d7cfb9f5c3b1b.js": immutable, "runtime~main.a1b2c3d4.js": immutable,
		"assets/index-BfK3x9aZ.js": immutable, "assets/index-D-x3_KaB.css": immutable, "app-X7SM3KRB.js": immutable, "main-5JQ3YQ2P.css": immutable,
		"_app/immutable/chunks/start.DxCqK6Jn.js": immutable, "_nuxt/DxCqK6Jn.js": immutable, "static/chunks/framework-2c79e2a64abdb08b.js": immutable,
		"8f3b9c0d1e2f3a4b5c6d7e8f9a0b1c2d.png": immutable, "logo.d41d8cd98f00b204e9800998ecf8427e.svg": immutable,

		"app.js": "", "main.js": "", "jquery-3.7.1.min.js": "", "bootstrap-datepicker.js": "", "font-SemiBold.woff2": "", "Roboto-MediumItalic.woff2": "",
		"report-20240101.pdf": "", "photo-12345678.jpg": "", "IMG_20240101.jpg": "", "hero-iPhone15.png": "", "hero-iPhone15Pro.png": "", "logo-horizontal.svg": "",
		"chart-1920x1080.png": "", "polyfill-es2015.js": "", "facade12.js": "", "deadbeef.js": "", "JavaScript.js": "", "PROD2024.js": "",
		"DSC_0001.jpg": "", "IMG_2024.jpg": "", "report-FY2024Q1.pdf": "", "Q1-Sales.pdf": "", "My-Doc-1.pdf": "", "x-Foo-Bar2.pdf": "", "box-10x20x30.png": "", "timer-1h30m45s.mp3": "",
		"550e8400-e29b-41d4-a716-44665544a0b0.png": "", "favicon.ico": "", "robots.txt": "", "sw.js": "", "3f2a1b9c": "", "README": "", "data.3f2a1b9": "",
	}
	files := fstest.MapFS{}
	for name := range rules {
		files[name] = &fstest.MapFile{Data: []byte("x")}
	}
	h := static(middleware.StaticFilesOptions{FS: files, Fallback: "index.html"})
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for name, rule := range rules {
			res, _ := fetch(t, srv, "GET", "/"+name)
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, rule, res.Header.Get("Cache-Control"), name)
		}
	})
	for name := range rules {
		require.Empty(t, requestFile(static(middleware.StaticFilesOptions{FS: files}), "GET", "/"+name).Header().Get("Cache-Control"), "without a fallback")
	}
	h = static(middleware.StaticFilesOptions{FS: files, Fallback: "index.html", Header: func(h http.Header, _ string) { h.Set("Cache-Control", "no-store") }})
	require.Equal(t, "no-store", requestFile(h, "GET", "/").Header().Get("Cache-Control"))
}

func TestStaticFilesFallbackConfig(t *testing.T) {
	files := fstest.MapFS{"index.html": {}, "dir/x": {}}
	for name, want := range map[string]string{"missing.html": "Fallback can't be read", "dir": `Fallback is "dir"`, "/index.html": "Fallback can't be read"} {
		_, err := pipeline.New().Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: files, Fallback: name})).Build()
		require.ErrorContains(t, err, want)
	}
}

// Errors about a file don't have its freshness: a cache would store them as long as the file.
func TestStaticFilesErrorsAreNotCached(t *testing.T) {
	h := static(middleware.StaticFilesOptions{
		FS: fstest.MapFS{"a.js": {Data: []byte("text")}},
		Header: func(h http.Header, _ string) {
			h.Set("Cache-Control", "max-age=31536000, immutable")
			h.Set("CDN-Cache-Control", "max-age=60")
			h.Set("Surrogate-Control", "max-age=60")
			h.Set("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")
		},
	})
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for status, header := range map[int][]string{
			200: {}, 206: {"Range", "bytes=0-1"},
			304: {"If-None-Match", "*"}, 412: {"If-Match", `"x"`}, 416: {"Range", "bytes=9-"},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				if method == "HEAD" && (status == 206 || status == 416) {
					continue
				}
				res, _ := fetch(t, srv, method, "/a.js", header...)
				require.Equal(t, status, res.StatusCode)
				for _, name := range []string{"Cache-Control", "CDN-Cache-Control", "Surrogate-Control", "Expires"} {
					require.Equal(t, status < 400, res.Header.Get(name) != "", "%s of %d", name, status)
				}
			}
		}
	})
}

// The folder for well-known URIs is served; other names with a dot are not.
func TestStaticFilesWellKnown(t *testing.T) {
	files := fstest.MapFS{}
	want := map[string]string{
		".well-known/acme-challenge/token": "served", ".well-known/security.txt": "served", ".well-known/dir/index.html": "served",
		".well-known/.hidden": "next", ".well-known/dir/.hidden": "next", ".well-knownx/a": "next", ".well-known.txt": "next",
		"sub/.well-known/a": "next", ".env": "next", ".git/config": "next", ".Well-Known/a": "next",
	}
	for name := range want {
		files[name] = &fstest.MapFile{Data: []byte("served")}
	}
	h := static(middleware.StaticFilesOptions{FS: files})
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for name, body := range want {
			_, got := fetch(t, srv, "GET", "/"+name)
			require.Equal(t, body, got, name)
		}
		for target, status := range map[string]int{"/.well-known/dir/": 200, "/.well-known/dir": 307} {
			res, _ := fetch(t, srv, "GET", target)
			require.Equal(t, status, res.StatusCode)
		}
		_, got := fetch(t, srv, "GET", "/.well-known")
		require.Equal(t, "next", got)
	})
}

package middleware_test

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

// Any ranges are answered with parts of the file, and never with more than the file and the
// headers of 32 parts.
func FuzzStaticFilesRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-4", "bytes=-0", "bytes=-1,0-1", "Bytes = 1-", "bytes=5-4", "items=1-2", "bytes=0-0,2-2,4-4", "bytes=,,1-1,", "bytes=99999999999999999999-"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	content := strings.Repeat("0123456789", 10)
	files := fstest.MapFS{"a": {Data: []byte(content)}, "empty": {}}
	f.Fuzz(func(t *testing.T, header string, seeks bool) {
		h := static(middleware.StaticFilesOptions{FS: &opens{FS: files, forward: !seeks}})
		for target, content := range map[string]string{"/a": content, "/empty": ""} {
			w := requestFile(h, "GET", target, "Range", header)
			body := w.Body.String()
			switch w.Code {
			case 200:
				require.Equal(t, content, body)
			case 206:
				checkParts(t, w, content)
			default:
				require.Equal(t, 416, w.Code)
				require.True(t, strings.HasPrefix(strings.ToLower(header), "bytes"))
			}
			if w.Code != 416 {
				require.Equal(t, strconv.Itoa(len(body)), w.Header().Get("Content-Length"))
			}
		}
	})
}

// checkParts checks a 206: each part is the one that its Content-Range names.
func checkParts(t *testing.T, w *httptest.ResponseRecorder, content string) {
	t.Helper()
	check := func(contentRange, body string) {
		first, last, ok := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(contentRange, "/"+strconv.Itoa(len(content))), "bytes "), "-")
		require.True(t, ok, contentRange)
		start, err := strconv.Atoi(first)
		require.NoError(t, err)
		end, err := strconv.Atoi(last)
		require.NoError(t, err)
		require.LessOrEqual(t, start, end)
		require.Equal(t, content[start:end+1], body)
	}
	if contentRange := w.Header().Get("Content-Range"); contentRange != "" {
		check(contentRange, w.Body.String())
		return
	}
	kind, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/byteranges", kind)
	parts, total := 0, 0
	for form := multipart.NewReader(w.Body, params["boundary"]); ; parts++ {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		total += len(body)
		check(part.Header.Get("Content-Range"), string(body))
	}
	require.LessOrEqual(t, parts, 32)
	require.LessOrEqual(t, total, len(content))
}

// Any conditions and codings give a complete answer.
func FuzzStaticFilesNegotiation(f *testing.F) {
	f.Add("gzip, br;q=0.5", `"x", W/"y"`, "*/*")
	f.Add("*;q=0, identity;q=0", "*", "text/html;q=0.1")
	f.Add("br ; q=0.999 ,, ;", `W/"`, "text/*,,")
	f.Add("\x00", "\"a,b\"", "text/html;charset=\"")
	files := precompressed(time.Time{})
	files["index.html"] = &fstest.MapFile{Data: []byte("page")}
	h := static(middleware.StaticFilesOptions{FS: files, Fallback: "index.html"})
	f.Fuzz(func(t *testing.T, encoding, tags, accept string) {
		for _, target := range []string{"/app.js", "/a.css", "/page"} {
			w := requestFile(h, "GET", target, "Accept-Encoding", encoding, "If-None-Match", tags, "Accept", accept)
			require.Contains(t, []int{200, 304, 406}, w.Code)
			coding := w.Header().Get("Content-Encoding")
			require.Contains(t, []string{"", "br", "zstd", "gzip"}, coding)
			if coding != "" {
				lower := strings.ToLower(encoding)
				require.True(t, strings.Contains(lower, coding) || strings.Contains(lower, "*"))
				require.True(t, strings.HasPrefix(w.Body.String(), coding))
			}
		}
	})
}

// FuzzIsHashedName checks that words, versions and dates have no hash, and that any name can
// be looked at.
func FuzzIsHashedName(f *testing.F) {
	for _, seed := range []string{"main.3f2a1b9c.js", "index-BfK3x9aZ.js", "jquery-3.7.1.min.js", ".", "..", "-", "a-.b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !middleware.IsHashedName(name) {
			return
		}
		require.Contains(t, name, ".")
		require.GreaterOrEqual(t, len(name), 8)
	})
}

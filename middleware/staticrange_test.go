package middleware_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

func TestStaticFilesRanges(t *testing.T) {
	modified := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	files := fstest.MapFS{"hello.txt": {Data: []byte("Hello, file!\n"), ModTime: modified}, "empty.txt": {ModTime: modified}}
	for _, seeks := range []bool{true, false} {
		h := static(middleware.StaticFilesOptions{FS: &opens{FS: files, forward: !seeks}})
		t.Run(fmt.Sprintf("seeks=%v", seeks), func(t *testing.T) {
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				for _, tt := range []struct {
					file, header string
					status       int
					body         string // or the Content-Range of a 416
				}{
					{"hello.txt", "bytes=0-4", 206, "Hello"},
					{"hello.txt", "bytes=7-", 206, "file!\n"},
					{"hello.txt", "bytes=-2", 206, "!\n"},
					{"hello.txt", "bytes=-99", 206, "Hello, file!\n"},
					{"hello.txt", "bytes=-0", 416, "bytes */13"},
					{"hello.txt", "bytes=-00", 416, "bytes */13"},
					{"hello.txt", "bytes=-0,13-,-0", 416, "bytes */13"},
					{"hello.txt", "bytes=-0,0-4", 206, "Hello"},
					{"hello.txt", "bytes=13-", 416, "bytes */13"},
					{"hello.txt", "bytes=5-4", 416, ""},
					{"hello.txt", "bytes=-+1", 416, ""},
					{"hello.txt", "bytes=+1-2", 416, ""},
					{"hello.txt", "bytes=--1", 416, ""},
					{"hello.txt", "bytes=9223372036854775807-", 416, "bytes */13"},
					{"hello.txt", "bytes=0-9223372036854775807", 206, "Hello, file!\n"},
					{"hello.txt", "bytes=0-9223372036854775808", 416, ""},
					{"hello.txt", "bytes=,", 200, "Hello, file!\n"},
					{"hello.txt", "Bytes=0-4", 206, "Hello"},
					{"hello.txt", "BYTES=0-4", 206, "Hello"},
					{"hello.txt", "items=0-4", 200, "Hello, file!\n"},
					{"hello.txt", "bytesx=0-4", 200, "Hello, file!\n"},
					{"hello.txt", "lines=1-2,bytes=0-4", 200, "Hello, file!\n"},
					{"hello.txt", "none", 200, "Hello, file!\n"},
					{"hello.txt", "bytes=0-9,0-9", 200, "Hello, file!\n"},
					{"empty.txt", "bytes=-1", 416, "bytes */0"},
					{"empty.txt", "bytes=-0", 416, "bytes */0"},
					{"empty.txt", "bytes=0-,-5", 416, "bytes */0"},
					{"empty.txt", "bytes=0-", 200, ""},
					{"empty.txt", "bytes=0-0", 200, ""},
				} {
					res, body := fetch(t, srv, "GET", "/"+tt.file, "Range", tt.header)
					require.Equal(t, tt.status, res.StatusCode, tt.header)
					if tt.status == 416 {
						require.Equal(t, tt.body, res.Header.Get("Content-Range"), tt.header)
						continue
					}
					require.Equal(t, tt.body, body, tt.header)
					require.Equal(t, tt.status == 206, res.Header.Get("Content-Range") != "", tt.header)
					require.Equal(t, "bytes", res.Header.Get("Accept-Ranges"), tt.header)

					// RFC 9110, section 14.2: only GET has ranges.
					res, _ = fetch(t, srv, "HEAD", "/"+tt.file, "Range", tt.header)
					require.Equal(t, 200, res.StatusCode, tt.header)
					require.Empty(t, res.Header.Get("Content-Range"))
					require.EqualValues(t, len(files[tt.file].Data), res.ContentLength)
				}
				res, _ := fetch(t, srv, "HEAD", "/hello.txt", "Range", "bytes=99-")
				require.Equal(t, 200, res.StatusCode)
			})
		})
	}
}

// The lines of If-None-Match and If-Match are one list.
func TestStaticFilesConditions(t *testing.T) {
	modified := time.Date(2020, 1, 2, 3, 4, 5, 999, time.UTC)
	h := static(middleware.StaticFilesOptions{FS: fstest.MapFS{"a.txt": {Data: []byte("text"), ModTime: modified}}})
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, _ := fetch(t, srv, "GET", "/a.txt")
		etag := res.Header.Get("Etag")
		for _, tt := range []struct {
			name   string
			header []string
			status int
		}{
			{"second line", []string{"If-None-Match", `"x"`, "If-None-Match", etag}, 304},
			{"third line, weak", []string{"If-None-Match", `"x", "y"`, "If-None-Match", `"z"`, "If-None-Match", `"q" , W/` + etag}, 304},
			{"a star on the second line", []string{"If-None-Match", `"x"`, "If-None-Match", "*"}, 304},
			{"a broken line before", []string{"If-None-Match", `x`, "If-None-Match", etag}, 304},
			{"no line matches", []string{"If-None-Match", `"x"`, "If-None-Match", `"y"`}, 200},
			{"comma in a tag", []string{"If-None-Match", `"a,b", ` + etag}, 304},
			{"tag that is not closed", []string{"If-None-Match", strings.TrimSuffix(etag, `"`)}, 200},
			{"If-Match on the second line", []string{"If-Match", `"x"`, "If-Match", etag}, 200},
			{"If-Match is strong", []string{"If-Match", "W/" + etag}, 412},
			{"If-Match of others", []string{"If-Match", `"x"`, "If-Match", `"y"`}, 412},
			{"an empty line decides nothing", []string{"If-None-Match", "", "If-Modified-Since", "Thu, 02 Jan 2020 03:04:05 GMT"}, 304},
			{"unmodified since the same second", []string{"If-Unmodified-Since", "Thu, 02 Jan 2020 03:04:05 GMT"}, 200},
		} {
			res, body := fetch(t, srv, "GET", "/a.txt", tt.header...)
			require.Equal(t, tt.status, res.StatusCode, tt.name)
			require.Equal(t, tt.status == 200, body == "text", tt.name)
		}
	})
}

// The work for a request is bounded by its size, whatever ranges it asks for.
func TestStaticFilesManyRanges(t *testing.T) {
	const size = 1 << 20
	files := fstest.MapFS{"big.bin": {Data: make([]byte, size)}}
	list := func(n int, at func(i int) int) string {
		var b strings.Builder
		b.WriteString("bytes=")
		for i := range n {
			fmt.Fprintf(&b, "%d-%d,", at(i), at(i))
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	ascending := func(i int) int { return 100 * i }
	descending := func(i int) int { return size - 1 - 100*i }
	alternating := func(i int) int { return i % 2 * (size - 1) }
	for _, tt := range []struct {
		name          string
		header        string
		seek, forward int // statuses for files that can seek, and for others
	}{
		{"two", list(2, ascending), 206, 206},
		{"many, ascending", list(32, ascending), 206, 206},
		{"too many", list(33, ascending), 200, 200},
		{"thousands", list(3000, ascending), 200, 200},
		{"thousands, descending", list(3000, descending), 200, 200},
		{"thousands at the end and the beginning", list(3000, alternating), 200, 200},
		{"descending", list(3, descending), 206, 200},
		{"back and forth", list(20, alternating), 206, 200},
		{"overlapping", "bytes=0-9,5-14", 206, 200},
		{"the same twice", "bytes=5-9,5-9", 206, 200},
		{"suffix after a range", "bytes=0-9,-5", 206, 206},
		{"suffix before a range", "bytes=-5,0-9", 206, 200},
		{"beyond the end between others", "bytes=0-9,9999999-,20-29", 206, 206},
		{"too many beyond the end", "bytes=" + strings.Repeat("9999999-,", 33), 200, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, forward := range []bool{false, true} {
				fsys := &opens{FS: files, forward: forward}
				h := static(middleware.StaticFilesOptions{FS: fsys})
				overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
					fetch(t, srv, "HEAD", "/big.bin") // hashes
					opened, read := fsys.n.Load(), fsys.read.Load()
					res, body := fetch(t, srv, "GET", "/big.bin", "Range", tt.header)
					want := tt.seek
					if forward {
						want = tt.forward
					}
					require.Equal(t, want, res.StatusCode)
					require.EqualValues(t, len(body), res.ContentLength)
					require.Equal(t, opened+1, fsys.n.Load(), "the file is opened once")
					require.LessOrEqual(t, fsys.read.Load()-read, int64(size), "and read once")
					require.LessOrEqual(t, len(body), size)
				})
			}
		})
	}
}

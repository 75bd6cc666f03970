package middleware

import (
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// codings are the content codings of precompressed files, the preferred one first.
var codings = [...]struct{ name, ext string }{
	{"br", ".br"},
	{"zstd", ".zst"},
	{"gzip", ".gz"},
}

// identityCoding is the index of the file itself, beside those in codings.
const identityCoding = len(codings)

// timeSlack is by how much a precompressed file may be older than its original: programs
// that copy a time round it, an archive to 2 s.
const timeSlack = 2 * time.Second

// variantSet tells which codings of a file exist.
type variantSet [len(codings)]bool

func (v variantSet) isEmpty() bool { return v == variantSet{} }

// variants looks for the precompressed variants of a file. One that is older than the file
// was made from another version of it.
func (s *staticFiles) variants(h http.Header, name string, original fs.FileInfo) (have variantSet) {
	if s.NoPrecompressed || h.Get("Content-Encoding") != "" { // a component above encodes the answer
		return have
	}
	ext := path.Ext(name)
	for _, c := range codings {
		if strings.EqualFold(ext, c.ext) {
			return have // it is encoded already
		}
	}
	for i, c := range codings {
		info, err := fs.Stat(s.FS, name+c.ext)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		isOld := hasTime(original) && !s.HashContent && info.ModTime().Before(original.ModTime().Add(-timeSlack))
		have[i] = !isOld
	}
	return have
}

// chooseCoding selects the variant for the Accept-Encoding headers of a request (RFC 9110,
// section 12.5.3): the one with the highest quality, among equals the first in codings. The
// file itself comes last, except if the client names it with a higher quality. ok is false if
// the client refuses the file itself, and accepts no variant.
func chooseCoding(accept []string, have variantSet) (best int, ok bool) {
	const unlisted = -1
	listed := [len(codings) + 1]int{unlisted, unlisted, unlisted, unlisted}
	others := unlisted // the quality of "*"
	left := maxAccept
	for _, line := range accept {
		line = line[:min(len(line), left)] // an item that is cut has no effect, or is that of a prefix, which is no coding
		left -= len(line)
		for line != "" {
			var item string
			item, line = cutItem(line)
			name, q, valid := parseCoding(item)
			if !valid {
				continue
			}
			if name == "*" {
				others = max(others, q)
			} else if i := codingIndex(name); i >= 0 {
				listed[i] = max(listed[i], q)
			}
		}
	}
	best, ok = identityCoding, true
	quality := listed[identityCoding]
	if quality == unlisted {
		quality = others
	}
	if quality == 0 {
		ok = false // refused; without a word about it, it is acceptable
	}
	for i := len(codings) - 1; i >= 0; i-- {
		q := listed[i]
		if q == unlisted {
			q = others
		}
		if have[i] && q > 0 && q >= quality {
			best, ok, quality = i, true, q
		}
	}
	return best, ok
}

// codingIndex returns the index of a content coding, or -1.
func codingIndex(name string) int {
	switch name {
	case "identity":
		return identityCoding
	case "x-gzip": // RFC 9110, section 8.4.1.3
		name = "gzip"
	}
	for i, c := range codings {
		if c.name == name {
			return i
		}
	}
	return -1
}

// parseCoding parses one item of Accept-Encoding.
func parseCoding(item string) (name string, q int, ok bool) {
	name, params := cutParam(item)
	name = strings.ToLower(strings.Trim(name, " \t"))
	if !httpx.IsToken(name) {
		return "", 0, false
	}
	if params = strings.Trim(params, " \t"); params == "" {
		return name, 1000, true
	}
	key, value, found := strings.Cut(params, "=")
	if !found || !strings.EqualFold(strings.Trim(key, " \t"), "q") {
		return "", 0, false
	}
	q, ok = parseQuality(strings.Trim(value, " \t"))
	return name, q, ok
}

// encodedETag returns the ETag of a variant. Those of a file differ also if their times and
// sizes are equal.
func encodedETag(etag, coding string) string {
	if etag == "" {
		return ""
	}
	return strings.TrimSuffix(etag, `"`) + "-" + coding + `"`
}

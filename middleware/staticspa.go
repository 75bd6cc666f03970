package middleware

import (
	"net/http"
	"path"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// mayBePage reports whether a request that no file answers is for a page of a single-page
// application if Accept names HTML: it does not have the name of an asset.
func (s *staticFiles) mayBePage(r *http.Request) bool {
	p := r.URL.Path
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !branch.IsClean(p) && !pathguard.EscapedSlash(r.URL) || strings.Contains(p, "/.") {
		return false
	}
	ext := strings.ToLower(path.Ext(p))
	return s.Types[ext] == "" && webTypes[ext] == ""
}

// namesHTML reports whether an Accept header names HTML. */* does not: it is that of scripts,
// styles and API clients.
func namesHTML(accept []string) bool {
	var html match
	left := maxAccept
	for _, line := range accept {
		line = line[:min(len(line), left)]
		left -= len(line)
		for line != "" {
			var item string
			item, line = cutItem(line)
			if r, ok := parseRange(item); ok && r.rank(formHTML) >= rankFamily {
				html.take(r, formHTML, 0)
			}
		}
	}
	return html.q > 0
}

// The values of Cache-Control for a single-page application. They don't say public: that
// would let shared caches store answers to requests with credentials.
const (
	cacheRevalidate = "no-cache"
	cacheImmutable  = "max-age=31536000, immutable"
)

// setCacheRule sets Cache-Control: a page names the current assets, so it is always
// revalidated, and an asset with a hash in its name never changes.
func setCacheRule(h http.Header, name string) {
	switch {
	case strings.HasPrefix(h.Get("Content-Type"), "text/html"):
		h.Set("Cache-Control", cacheRevalidate)
	case isHashedName(name):
		h.Set("Cache-Control", cacheImmutable)
	}
}

// isHashedName reports whether the name of a file has the hash of its content, as the names
// that bundlers give: main.3f2a1b9c.js, index-BfK3x9aZ.js, app-X7SM3KRB.css. A name that only
// might have one has none, because a browser never asks for an immutable file again.
func isHashedName(name string) bool {
	name = path.Base(name)
	stem, _, found := strings.Cut(name, ".")
	if !found {
		return false // without an extension
	}
	if isHash(stem) {
		return true
	}
	parts := strings.Split(name, ".")
	for _, part := range parts[:len(parts)-1] {
		if isHash(part) {
			return true
		}
		// The hash is behind the name, and may have a hyphen itself (base64url).
		for _, size := range hashLengths {
			if at := len(part) - size; at > 1 && (part[at-1] == '-' || part[at-1] == '_') && !isUUID(part) && isHash(part[at:]) {
				return true
			}
		}
	}
	return false
}

// hashLengths are the lengths of hashes in names, in characters. Bundlers shorten them.
var hashLengths = [...]int{8, 10, 12, 16, 20, 32, 40, 64}

// isHash reports whether s looks like a hash: hexadecimal, base32 or base64url. Its letters
// and digits alternate as those of words, versions and dates do not.
func isHash(s string) bool {
	known := false
	for _, size := range hashLengths {
		known = known || len(s) == size
	}
	if !known {
		return false
	}
	isHex, isBase32, hyphens, lower, upper, digits, changes, inside := true, true, false, 0, 0, 0, 0, 0
	var class, last byte
	word := true // at the beginning of what may be a word
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			class = '0'
			digits++
			isBase32 = isBase32 && '2' <= c && c <= '7'
		case 'a' <= c && c <= 'z':
			class = 'a'
			lower++
			isHex = isHex && c <= 'f'
		case 'A' <= c && c <= 'Z':
			class = 'A'
			upper++
			isHex = false
		case c == '-' || c == '_':
			class = '-'
			isHex, isBase32, hyphens = false, false, true
		default:
			return false
		}
		// Hyphens separate words, which may begin with a capital: "Q1-Sales", "My-Doc-1".
		capital := word && last == 'A' && class == 'a'
		if i > 0 && class != last {
			changes++
			if class != '-' && last != '-' && !capital {
				inside++
			}
		}
		word = i == 0 || last == '-'
		last = class
	}
	switch {
	case isHex:
		return digits > 0 && lower > 0 && changes >= 2
	case len(s) != 8 && len(s) != 10:
		return false // only hexadecimal hashes are longer
	case lower == 0:
		return digits > 0 && upper > 0 && changes >= 2 && isBase32 // not DSC_0001, FY2024Q1
	case upper == 0:
		return digits > 0 && changes >= 4 && lower >= 4 // not 10x20x30, 1h30m45s
	case hyphens && inside < 2:
		return false
	case digits == 0:
		return changes >= 5
	}
	return changes >= 4
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
}

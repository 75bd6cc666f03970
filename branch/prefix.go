package branch

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// CheckPrefix says what is wrong with a path prefix, or returns nil. A prefix
// begins with a slash, does not end with one, and has no empty and no dot
// segments. It is compared with the decoded path, so it is written decoded:
// "/a b", not "/a%20b".
func CheckPrefix(prefix string) error {
	switch {
	case prefix == "":
		return errors.New("the prefix is empty: it would match every request; add the components to the main line instead")
	case prefix == "/":
		return errors.New(`the prefix is "/": it would match every request; add the components to the main line instead`)
	case prefix[0] != '/':
		return fmt.Errorf("the prefix %q must begin with a slash: %q", prefix, "/"+prefix)
	case prefix[len(prefix)-1] == '/':
		return fmt.Errorf("the prefix %q must not end with a slash: %q matches everything below it as well", prefix, strings.TrimRight(prefix, "/"))
	case !IsClean(prefix):
		return fmt.Errorf("the prefix %q has empty or dot segments and would never match: write %q", prefix, clean(prefix))
	}
	return nil
}

// Covers reports whether every path that Map(inner) would match is matched by
// Map(outer) already, so that a Map of inner behind one of outer is never
// reached.
func Covers(outer, inner string) bool { return matchLen(inner, outer) >= 0 }

// IsClean reports whether a decoded path begins with a slash and has no empty
// and no dot segments. A slash at the end is clean.
func IsClean(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := 0; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		// What follows a slash must not be a slash, nor ".", nor "..".
		rest := p[i+1:]
		if len(rest) > 0 && rest[0] == '.' {
			rest = rest[1:]
			if len(rest) > 0 && rest[0] == '.' {
				rest = rest[1:]
			}
			if rest == "" || rest[0] == '/' {
				return false
			}
		} else if len(rest) > 0 && rest[0] == '/' {
			return false
		}
	}
	return true
}

// clean returns the canonical form of a decoded path: rooted, no empty and no
// dot segments, a slash at the end kept. It does not allocate where p is clean.
func clean(p string) string {
	if IsClean(p) {
		return p
	}
	c := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// matchLen returns how many bytes of the clean path p the prefix takes up, or
// -1 if p is neither the prefix nor below it. Only whole segments match; the
// case of ASCII letters is ignored.
func matchLen(p, prefix string) int {
	n := len(prefix)
	if len(p) < n || len(p) > n && p[n] != '/' {
		return -1
	}
	for i := 0; i < n; i++ {
		if lower(p[i]) != lower(prefix[i]) {
			return -1
		}
	}
	return n
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

package middleware

import (
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// refusesSlash answers a request with an escaped slash if that slash decides whether there
// is a file, and returns true then. Such a path names no file: the names of files have no
// slashes.
func (s *staticFiles) refusesSlash(w http.ResponseWriter, r *http.Request) bool {
	if pathguard.From(r).Data || !s.hasFileBySeparators(r) {
		return false
	}
	pathguard.Refuse(w, r, http.StatusBadRequest, pathguard.Ambiguous)
	return true
}

// hasFileBySeparators reports whether there is a file to serve if escaped slashes separate
// segments.
func (s *staticFiles) hasFileBySeparators(r *http.Request) bool {
	slash := strings.HasSuffix(r.URL.Path, "/")
	name, ok := s.fileName(&http.Request{Method: r.Method, URL: &url.URL{Path: path.Clean(r.URL.Path)}})
	if !ok {
		return false
	}
	info, err := fs.Stat(s.FS, name)
	if err == nil && info.IsDir() {
		info, err = fs.Stat(s.FS, path.Join(name, "index.html"))
	} else if slash {
		return false
	}
	return err == nil && info.Mode().IsRegular()
}

package middleware

import (
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// StaticFilesOptions configure [StaticFiles].
type StaticFilesOptions struct {
	// FS holds the files. Required. os.DirFS follows symbolic links out of its
	// folder; os.Root's FS does not.
	FS fs.FS

	// DotFiles also serves files and folders whose name begins with a dot.
	// Default: they are a miss, as .git and .env are seldom meant to be read.
	DotFiles bool
}

// StaticFiles answers GET and HEAD for the files of a file system, with ranges
// and conditional requests as http.ServeContent does. A folder with an
// index.html answers with it (below a path that ends in a slash; without one it
// redirects there), other folders are not listed. Whatever it has no file for
// goes to the next handler: other methods, missing files, names that begin with
// a dot, paths that are not clean.
//
// It does no authorisation: put it behind a guard, or serve only what everybody
// may read.
//
//go:noinline
func StaticFiles(opts StaticFilesOptions) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		if opts.FS == nil {
			panic(&pipeline.ConfigError{Component: "middleware.StaticFiles", Problem: "FS is nil: set it to an embed.FS, os.DirFS(dir) or another fs.FS"})
		}
		return &staticFiles{opts, next}
	}
}

type staticFiles struct {
	StaticFilesOptions
	next http.Handler
}

func (s *staticFiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !branch.IsClean(p) || !s.DotFiles && strings.Contains(p, "/.") {
		s.next.ServeHTTP(w, r)
		return
	}
	name := strings.Trim(p, "/")
	if name == "" {
		name = "."
	}
	info, err := fs.Stat(s.FS, name)
	if err != nil {
		// Missing, forbidden or no valid name: there is no file to answer with.
		s.next.ServeHTTP(w, r)
		return
	}
	isFolder := info.IsDir()
	if isFolder {
		name = path.Join(name, "index.html")
		if index, err := fs.Stat(s.FS, name); err != nil || index.IsDir() {
			s.next.ServeHTTP(w, r)
			return
		}
	}
	switch slash := strings.HasSuffix(p, "/"); {
	case isFolder && !slash, isFolder && branch.Exact(r):
		// The page's relative links need the slash.
		to := url.URL{Path: strings.TrimSuffix(branch.PathBase(r)+p, "/") + "/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
	case !isFolder && slash: // the file is below no such folder
		s.next.ServeHTTP(w, r)
	default:
		http.ServeFileFS(w, r, s.FS, name)
	}
}

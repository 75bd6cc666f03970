package middleware

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// StaticFilesOptions configure [StaticFiles].
type StaticFilesOptions struct {
	// FS holds the files. Required. The names in an embed.FS begin with the
	// folder's: for "//go:embed static" pass fs.Sub(files, "static"). os.DirFS follows symbolic links out of its
	// folder; os.Root's FS does not.
	//
	// A file without a modification time is taken for one that never changes, as
	// those of an embed.FS: it is hashed once, at its first request. Where that
	// is not so (a file system of your own), let its files have times, or have
	// Header delete the ETag.
	FS fs.FS

	// DotFiles also serves files and folders whose name begins with a dot.
	// Default: they are a miss, as .git and .env are seldom meant to be read.
	DotFiles bool

	// Header is called before a file is sent, with the headers that are to go
	// out and the file's name in FS ("docs/index.html"). It may change them: set
	// Cache-Control, say, or another Content-Type. It is called for answers to
	// conditional requests and HEAD as well, but not for redirects, and must be
	// safe for concurrent use. Default: nothing. It is ASP.NET Core's
	// OnPrepareResponse.
	Header func(h http.Header, name string)

	// Types are the media types of files by the extension of their name, in
	// lower case and with the dot (".gltf": "model/gltf+json"); they go before
	// those that are built in. Default: the usual types of the web, and what
	// package mime knows on this machine.
	Types map[string]string
}

// StaticFiles answers GET and HEAD for the files of a file system, with ranges
// and conditional requests (RFC 9110, sections 13 and 14). A folder with an
// index.html answers with it (below a path that ends in a slash; without one it
// redirects there), other folders are not listed. Whatever it has no file for
// goes to the next handler: other methods, missing files and such as may not be
// opened, devices and pipes, names that begin with a dot, paths that are not
// clean. A file that is there and can't be opened for another reason is a failure,
// see [Fail].
//
// Each file has a strong ETag: of its time and size, or of its content where it
// has no time. Its type goes by the extension and never by the content; a file of
// unknown type is application/octet-stream, and X-Content-Type-Options: nosniff
// keeps browsers from guessing. (ASP.NET Core does not serve unknown types. Here
// they are saved, not shown.)
//
// Some file systems know a file by several names, so that a guard or the rule
// about dots may be walked around. So names with a colon, a backslash or a control
// character, and those with a segment that ends in a dot or a space, are a miss
// everywhere; on Windows also those that look like short names ("GIT~1"). That case
// may not count there is for guards to know: branch.Map ignores it.
//
// Ranges work with files that can't seek, as those of an archive/zip.Reader, by
// skipping what is before them.
//
// It serves no precompressed variants, and does no authorisation: put it behind a
// guard, or serve only what everybody may read.
//
//go:noinline
func StaticFiles(opts StaticFilesOptions) pipeline.Middleware {
	opts.Types = maps.Clone(opts.Types)
	return func(next http.Handler) http.Handler {
		if problem := opts.problem(); problem != "" {
			panic(&pipeline.ConfigError{Component: "middleware.StaticFiles", Problem: problem})
		}
		return &staticFiles{StaticFilesOptions: opts, next: next}
	}
}

// problem returns what is wrong with the options, or "".
func (opts StaticFilesOptions) problem() string {
	var problems []string
	if opts.FS == nil {
		problems = append(problems, "FS is nil: set it to an embed.FS, os.DirFS(dir) or another fs.FS")
	} else if _, err := fs.Stat(opts.FS, "."); err != nil {
		problems = append(problems, "FS can't be read: "+err.Error())
	}
	for _, ext := range slices.Sorted(maps.Keys(opts.Types)) {
		if !strings.HasPrefix(ext, ".") || ext != path.Ext(ext) || ext != strings.ToLower(ext) {
			problems = append(problems, "Types has the extension \""+ext+"\": write it in lower case and with one dot, at its beginning")
		}
		if !isMediaType(opts.Types[ext]) {
			problems = append(problems, "Types has \""+opts.Types[ext]+"\" for \""+ext+"\": that is no media type")
		}
	}
	return strings.Join(problems, "; ")
}

type staticFiles struct {
	StaticFilesOptions
	next   http.Handler
	hashes hashes
}

func (s *staticFiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	name, ok := s.fileName(r)
	if !ok {
		s.next.ServeHTTP(w, r)
		return
	}
	// Opening a pipe would wait for its writer, so look before.
	info, err := fs.Stat(s.FS, name)
	if err != nil {
		// Missing, forbidden or no valid name: there is no file to answer with.
		s.next.ServeHTTP(w, r)
		return
	}
	isFolder := info.IsDir()
	if isFolder {
		name = path.Join(name, "index.html")
		info, err = fs.Stat(s.FS, name)
		if err != nil {
			s.next.ServeHTTP(w, r)
			return
		}
	}
	slash := strings.HasSuffix(p, "/")
	switch {
	case !info.Mode().IsRegular(), !isFolder && slash: // the file is below no such folder
		s.next.ServeHTTP(w, r)
	case isFolder && (!slash || branch.Exact(r)):
		// The page's relative links need the slash.
		to := url.URL{Path: strings.TrimSuffix(branch.PathBase(r)+p, "/") + "/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
	default:
		s.serveFile(w, r, name)
	}
}

// fileName returns the name in the file system that a request asks for. It is
// not ok where that can't be a file that is served.
func (s *staticFiles) fileName(r *http.Request) (name string, ok bool) {
	p := r.URL.Path
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !branch.IsClean(p) || !s.DotFiles && strings.Contains(p, "/.") {
		return "", false
	}
	name = strings.Trim(p, "/")
	if name == "" {
		return ".", true
	}
	return name, fs.ValidPath(name) && isOnlyName(name, runtime.GOOS == "windows")
}

// isOnlyName reports whether name has nothing that makes it another name of a
// file for some file system.
func isOnlyName(name string, windows bool) bool {
	for seg := range strings.SplitSeq(name, "/") {
		if strings.HasSuffix(seg, ".") || strings.HasSuffix(seg, " ") {
			return false
		}
		if i := strings.IndexByte(seg, '~'); windows && i >= 0 && i+1 < len(seg) && '0' <= seg[i+1] && seg[i+1] <= '9' {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(c rune) bool { return c == ':' || c == '\\' || httpx.IsControl(c) })
}

// serveFile answers with a file that was there a moment ago.
func (s *staticFiles) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, err := s.FS.Open(name)
	if err == nil {
		defer f.Close()
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.Mode().IsRegular() {
			s.serveContent(w, r, name, f, info)
			return
		}
	}
	s.cannot(w, r, err)
}

// cannot answers where the file is not what it was a moment ago.
func (s *staticFiles) cannot(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		s.next.ServeHTTP(w, r)
		return
	}
	Fail(w, r, err)
}

func (s *staticFiles) serveContent(w http.ResponseWriter, r *http.Request, name string, f fs.File, info fs.FileInfo) {
	content, ok := f.(io.ReadSeeker) // as it is: net/http can hand an *os.File to the kernel
	if !ok {
		skipping := &skipReader{fsys: s.FS, name: name, size: info.Size(), f: f}
		defer skipping.close()
		content = skipping
	}
	etag := timeETag(info)
	if etag == "" {
		var err error
		if etag, err = s.hashes.etag(s.FS, name, info.Size()); err != nil {
			s.cannot(w, r, err)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", s.contentType(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Etag", etag)
	if s.Header != nil {
		s.Header(h, name)
	}
	http.ServeContent(w, r, name, info.ModTime(), content)
}

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
	"github.com/speakingtube/speakingtube/internal/pathguard"
	"github.com/speakingtube/speakingtube/pipeline"
)

// StaticFilesOptions configure [StaticFiles].
type StaticFilesOptions struct {
	// FS holds the files. Required. The names in an embed.FS begin with the name of the
	// folder: for "//go:embed static" pass fs.Sub(files, "static"). os.DirFS follows
	// symbolic links out of its folder; os.Root's FS does not.
	//
	// A file without a modification time, as in an embed.FS, is assumed never to change: it
	// is hashed once, at its first request. If such files can change in your file system,
	// give them times, or delete the ETag in Header.
	FS fs.FS

	// DotFiles also serves files and folders whose name begins with a dot. Default: they
	// are not served, because .git and .env are seldom meant to be public.
	DotFiles bool

	// Header is called before a file is sent, with the response headers and the file's name
	// in FS ("docs/index.html"). It may change the headers, for example set Cache-Control
	// or another Content-Type. It is called for conditional requests and HEAD too, but not
	// for redirects, and must be safe for concurrent use. Default: none. It corresponds to
	// ASP.NET Core's OnPrepareResponse.
	Header func(h http.Header, name string)

	// Types are the media types of files by the extension of their name, in lower case and
	// with the dot (".gltf": "model/gltf+json"); they override the built-in types. Default:
	// the usual types of the web, and those that package mime knows on this machine.
	Types map[string]string
}

// StaticFiles answers GET and HEAD for the files of a file system, with ranges and
// conditional requests (RFC 9110, sections 13 and 14). For a folder with an index.html it
// serves that file (if the path ends in a slash; otherwise it redirects to the path with a
// slash); other folders are not listed. All other requests are passed to the next handler:
// other methods, missing files, files without read permission, devices and pipes, names
// that begin with a dot, unclean paths. If an existing file can't be opened for another
// reason, the request fails; see [Fail]. A path with an escaped slash names no file; the
// answer is 400 if it would name one with a plain slash.
//
// Each file has a strong ETag: of its time and size, or of its content if it has no time.
// Its type depends on the extension and never on the content; a file of unknown type is
// application/octet-stream, and X-Content-Type-Options: nosniff keeps browsers from
// guessing. (ASP.NET Core does not serve unknown types. Here browsers offer to save them.)
//
// Some file systems know a file by several names, which could bypass a guard or the rule
// about dots. Therefore names with a colon, a backslash or a control character, and those
// with a segment that ends in a dot or a space, are not served on any system; on Windows
// this also applies to names that look like short names ("GIT~1"). On file systems that
// ignore case, guards have to ignore it too: branch.Map does.
//
// Ranges also work with files that can't seek, such as those of an archive/zip.Reader, by
// skipping the bytes before them.
//
// The components around see the route "/{file...}", behind the prefixes of branches, see
// pipeline's Response.Route.
//
// It serves no precompressed variants, and does no authorisation: put it behind a guard, or
// serve only public files.
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

// staticRoute is the route of all files below a branch: a metric should not have a label for
// each file.
const staticRoute = "/{file...}"

// problem returns the problem of the options, or "".
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
			problems = append(problems, "Types has \""+opts.Types[ext]+"\" for \""+ext+"\": that is not a media type")
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
	if pathguard.EscapedSlash(r.URL) {
		if !s.refusesSlash(w, r) {
			s.next.ServeHTTP(w, r)
		}
		return
	}
	name, ok := s.fileName(r)
	if !ok {
		s.next.ServeHTTP(w, r)
		return
	}
	// Opening a pipe would wait for its writer, so check first.
	info, err := fs.Stat(s.FS, name)
	if err != nil {
		// Missing, forbidden or an invalid name: there is no file for an answer.
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
	case !info.Mode().IsRegular(), !isFolder && slash: // the path names no such folder
		s.next.ServeHTTP(w, r)
	case isFolder && (!slash || branch.Exact(r)):
		setRoute(r, staticRoute)
		// The page's relative links need the slash.
		to := url.URL{Path: strings.TrimSuffix(branch.PathBase(r)+p, "/") + "/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
	default:
		s.serveFile(w, r, name)
	}
}

// fileName returns the name in the file system for a request. ok is false if the name can't
// be one of a served file.
func (s *staticFiles) fileName(r *http.Request) (name string, ok bool) {
	p := r.URL.Path
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !branch.IsClean(p) || !s.DotFiles && strings.Contains(p, "/.") {
		return "", false
	}
	name = strings.Trim(p, "/")
	if name == "" {
		return ".", true
	}
	return name, fs.ValidPath(name) && isUnambiguousName(name, runtime.GOOS == "windows")
}

// isUnambiguousName reports whether name contains nothing that makes it another name of a
// file on some file system.
func isUnambiguousName(name string, windows bool) bool {
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

// serveFile answers with a file that existed a moment ago.
func (s *staticFiles) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, err := s.FS.Open(name)
	if err == nil {
		defer f.Close()
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.Mode().IsRegular() {
			setRoute(r, staticRoute)
			s.serveContent(w, r, name, f, info)
			return
		}
	}
	s.answerOpenError(w, r, err)
}

// answerOpenError answers if the file has changed since the check.
func (s *staticFiles) answerOpenError(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		s.next.ServeHTTP(w, r)
		return
	}
	Fail(w, r, err)
}

func (s *staticFiles) serveContent(w http.ResponseWriter, r *http.Request, name string, f fs.File, info fs.FileInfo) {
	content, ok := f.(io.ReadSeeker) // unchanged, because net/http can pass an *os.File to the kernel
	if !ok {
		skipping := &skipReader{fsys: s.FS, name: name, size: info.Size(), f: f}
		defer skipping.close()
		content = skipping
	}
	etag := timeETag(info)
	if etag == "" {
		var err error
		if etag, err = s.hashes.etag(s.FS, name, info.Size()); err != nil {
			s.answerOpenError(w, r, err)
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

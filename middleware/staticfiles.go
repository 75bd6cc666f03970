package middleware

import (
	"errors"
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
	// A file without a modification time, as in an embed.FS, is hashed, see HashContent. In
	// file systems that are not the operating system's, such a file is assumed to change only
	// with its size or time.
	FS fs.FS

	// DotFiles also serves files and folders whose name begins with a dot. Default: they
	// are not served, because .git and .env are seldom meant to be public; except for those in
	// /.well-known/ (RFC 8615).
	DotFiles bool

	// HashContent makes each ETag from the content instead of the time and size. Set it if
	// the times of files are constants: reproducible builds, container images, Nix and Bazel
	// give all files the same time, so that two versions of the same size can't be told apart.
	// A file is read once for its hash, and again after it has changed. Its answers have no
	// Last-Modified.
	//
	// Files without a time or with one before 1981, those of an embed.FS and those of a
	// zip.Reader are hashed in any case.
	HashContent bool

	// NoPrecompressed does not look for precompressed files. Default: for "app.js" the files
	// "app.js.br", "app.js.zst" and "app.js.gz" are looked for, and sent to clients that accept
	// the coding.
	NoPrecompressed bool

	// Fallback is the name in FS of the page of a single-page application, for example
	// "index.html", which shows the pages of many paths. It is sent with 200 for GET and HEAD
	// if no file matches, Accept names HTML (*/*, as scripts and API clients send, is not
	// enough), no name in the path begins with a dot, and the last one does not have the
	// extension of an asset (those of Types and the usual ones of the web). Put the component
	// behind all others then: components behind it only get the other requests. Default: none.
	//
	// With it answers have a Cache-Control: "no-cache" for HTML, and a year and "immutable" for
	// files whose name has a hash, as those of bundlers have (main.3f2a1b9c.js,
	// index-BfK3x9aZ.js). Header may change it.
	Fallback string

	// Header is called before a file is sent, with the response headers and the file's name
	// in FS ("docs/index.html"; for a precompressed variant too). It may change the headers, for
	// example set Cache-Control or another Content-Type, or delete ETag. It is called for
	// conditional requests and HEAD too, but not for redirects, and must be safe for concurrent
	// use. Default: none. It corresponds to ASP.NET Core's OnPrepareResponse.
	//
	// If it sets Content-Encoding, for files that are stored encoded, ranges are not offered.
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
// Each file has a strong ETag: of its time and size, or of its content, see HashContent.
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
// A request for more than 32 ranges gets the whole file, and so does one for ranges that
// overlap or go back if the file can't seek, such as those of an archive/zip.Reader: each step
// back would read it from the start.
//
// The components around see the route "/{file...}", behind the prefixes of branches, see
// pipeline's Response.Route.
//
// Precompressed files beside a file (.br, .zst and .gz, in this order) are sent to clients that
// accept their coding, with the type of the original, an ETag of their own and Vary. A variant
// that is older than the original is ignored, and so are variants if a component above has
// set Content-Encoding. A client that refuses each form that exists gets 406.
//
// It compresses nothing itself, and does no authorisation: put it behind a guard, or serve
// only public files.
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
	if opts.Fallback != "" && opts.FS != nil {
		if info, err := fs.Stat(opts.FS, opts.Fallback); err != nil {
			problems = append(problems, "Fallback can't be read: "+err.Error())
		} else if !info.Mode().IsRegular() {
			problems = append(problems, "Fallback is \""+opts.Fallback+"\", which is not a file")
		}
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
	if pathguard.EscapedSlash(r.URL) {
		if s.refusesSlash(w, r) {
			return
		}
	} else if name, info := s.find(w, r); info != nil {
		if name != "" { // else redirected
			s.serveFile(w, r, name, info, "")
		}
		return
	}
	if s.Fallback != "" && s.mayBePage(r) {
		if !namesHTML(r.Header.Values("Accept")) {
			addVary(w.Header(), "Accept") // or a cache would send this answer to browsers
		} else if info, err := fs.Stat(s.FS, s.Fallback); err == nil {
			s.serveFile(w, r, s.Fallback, info, "Accept")
			return
		}
	}
	s.next.ServeHTTP(w, r)
}

// find returns the file for a request. info is nil if there is none, and name is "" if it has
// answered with a redirect to a folder's path with a slash.
func (s *staticFiles) find(w http.ResponseWriter, r *http.Request) (name string, info fs.FileInfo) {
	p := r.URL.Path
	name, ok := s.fileName(r)
	if !ok {
		return "", nil
	}
	// Opening a pipe would wait for its writer, so check first. With an error the file is
	// missing or forbidden, or the name is not valid: there is no file for an answer.
	info, err := fs.Stat(s.FS, name)
	if err != nil {
		return "", nil
	}
	isFolder := info.IsDir()
	if isFolder {
		name = path.Join(name, "index.html")
		if info, err = fs.Stat(s.FS, name); err != nil {
			return "", nil
		}
	}
	slash := strings.HasSuffix(p, "/")
	switch {
	case !info.Mode().IsRegular(), !isFolder && slash: // the path names no such folder
		return "", nil
	case isFolder && (!slash || branch.Exact(r)):
		setRoute(r, staticRoute)
		// The page's relative links need the slash.
		to := url.URL{Path: strings.TrimSuffix(branch.PathBase(r)+p, "/") + "/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
		return "", info
	}
	return name, info
}

// fileName returns the name in the file system for a request. ok is false if the name can't
// be one of a served file.
func (s *staticFiles) fileName(r *http.Request) (name string, ok bool) {
	p := r.URL.Path
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !branch.IsClean(p) || !s.DotFiles && hasDotFile(p) {
		return "", false
	}
	name = strings.Trim(p, "/")
	if name == "" {
		return ".", true
	}
	return name, fs.ValidPath(name) && isUnambiguousName(name, runtime.GOOS == "windows")
}

// hasDotFile reports whether a name in a path begins with a dot. The folder for well-known
// URIs (RFC 8615) does not count: its files are meant to be public, and certificates are
// renewed through it.
func hasDotFile(p string) bool {
	const wellKnown = "/.well-known"
	if rest, ok := strings.CutPrefix(p, wellKnown); ok && (rest == "" || rest[0] == '/') {
		p = rest
	}
	return strings.Contains(p, "/.")
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

// answerOpenError answers if the file has changed since the check.
func (s *staticFiles) answerOpenError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		s.next.ServeHTTP(w, r)
		return
	}
	Fail(w, r, err)
}

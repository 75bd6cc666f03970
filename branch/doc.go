// Package branch routes requests by path prefix, or by any other property of the request.
// It works with every router and chain that uses func(http.Handler) http.Handler; package
// pipeline builds on it.
//
// # Usage
//
//	h := branch.Map("/admin", admin)(site)            // /admin and below go to admin
//	h = branch.When(branch.Query("debug"), dump)(h) // ?debug goes to dump
//	h = branch.UseWhen(branch.Not(branch.Method("GET")), audit)(h)
//	h = branch.CleanPaths(h)                         // package pipeline includes it
//
// A request that takes a branch of [Map] or [When] does not return to the main line: the
// branch answers it, with its own 404 if necessary. [UseWhen] rejoins: the branch's next
// handler is the main line.
//
// # Paths
//
// Map matches whole segments of the decoded path and ignores the case of ASCII letters as
// ASP.NET Core does, so that /ADMIN does not get past a guard on /admin; /adminer is a
// different path. The matched part moves from r.URL.Path to [PathBase], in the request's
// own spelling. After an exact match Path is "/" and [Exact] reports true, because net/http
// handlers redirect out of the branch if the path is empty. So PathBase + Path is always
// the original path, or the original path + "/" after an exact match.
//
// r.URL.RawPath follows: it is an encoding of Path in the request's own spelling, or "" if
// that is the default encoding.
//
// Matching does not depend on how an escaped slash is read. If a prefix matches
// "/admin%2Fs" with the slash as a separator, as components read it that use r.URL.Path,
// and does not match with the slash as data, as http.ServeMux reads it, the answer is 400.
// In other places an escaped slash is data: "/files/a%2Fb" takes the branch of "/files",
// whose path is "/a/b" and whose escaped path is "/a%2Fb".
// MapOptions.EscapedSlashesAreData declares that below a prefix only the escaped path
// counts.
//
// [MapWith] changes these rules: it can match case, or leave the path unchanged.
//
// # Links and redirects
//
// Below a branch, http.Redirect and http.ServeMux's own redirects (to the clean path, and
// from /tree to /tree/) lead out of the branch, because they know only the branch's path.
// Remedies: [Redirect] and [Link], which put the PathBase in front; MapOptions.PreservePath
// and a ServeMux with full patterns; or middleware.Endpoints, which puts the PathBase into
// a ServeMux's redirects. http.FileServer's redirects are relative and stay in the branch,
// with one exception: for "/files" exactly it serves the index of "/", whose relative links
// then lack the slash. middleware.StaticFiles checks Exact and redirects in that case.
//
// # Patterns
//
// http.ServeMux sets r.Pattern on the request that it gets, and the components around a
// branch have a different request. So Map and UsePathBase copy the pattern to their
// caller's request when the branch has returned or panicked: "GET /items/{id}" below
// Map("/api") is "GET /api/items/{id}" outside. The prefix is spelled as registered, not as
// the client wrote it: the pattern is a label with few values. The pattern is copied only
// if the branch has changed it and the caller's request still has the old one. Pattern is
// the only field of the caller's request that this package writes, as ServeMux itself does.
//
// # Guards
//
// net/http does not remove dot segments and empty segments, although other servers do. Map
// and Path therefore match on the cleaned path: /x/../admin is /admin to them, also if the
// dots are escaped. This guarantees that every request whose decoded and cleaned path is on
// or below the prefix takes the branch or is refused. Such a guard is sufficient for
// handlers that interpret paths in the same way, such as http.FileServer behind it.
//
// It is not sufficient for handlers that interpret paths differently. http.ServeMux and
// most routers match the escaped path segment by segment: "/admin/%2e%2e/x" is "/x" to Map
// and continues on the main line, but a ServeMux on the main line finds it below "/admin/".
// [CleanPaths] in front, which the handlers of package pipeline include, rejects such
// paths. With it the guard is sufficient for these handlers too.
//
// The guard can't be sufficient for file systems that know a file by several names: those
// that ignore the case of non-ASCII letters or normalise Unicode (macOS), and those that
// drop dots and spaces at the end of names or have short names (Windows). Put the guard
// around the files themselves in that case, not around a path.
//
// # Concurrency
//
// Everything in this package is safe for concurrent use after construction. A branch gets a
// shallow copy of the request; the caller's request is never changed, except for r.Pattern
// (see above).
//
// # Failure
//
// Invalid arguments panic at construction with a text that begins with the function's name.
// [CheckPrefix] checks a prefix beforehand. A prefix that looks like a pattern or an
// escaped path is an error.
//
// # Testing
//
// Branches are plain handlers: httptest.NewRequest and a recorder suffice. Their cost is
// measured with the writers of package pipelinetest.
package branch

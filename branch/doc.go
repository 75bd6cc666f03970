// Package branch sends requests down different ways: by path prefix, or by any
// other property of the request. It works with every router and chain that
// speaks func(http.Handler) http.Handler; package pipeline builds on it.
//
// # Usage
//
//	h := branch.Map("/admin", admin)(site)            // /admin and below go to admin
//	h = branch.When(branch.Query("debug"), dump)(h) // ?debug goes to dump
//	h = branch.UseWhen(branch.Not(branch.Method("GET")), audit)(h)
//	h = branch.CleanPaths(h)                         // package pipeline does it by itself
//
// [Map] and [When] never come back: a request that took the branch is answered
// there, with the branch's own 404 if need be. [UseWhen] rejoins: the branch's
// next handler is the main line.
//
// # Paths
//
// Map matches whole segments of the decoded path, ignoring the case of ASCII
// letters as ASP.NET Core does, so that a guard on /admin can't be dodged with
// /ADMIN; /adminer is another path. What matched moves from r.URL.Path to
// [PathBase], in the request's own spelling. After an exact match Path is "/"
// and [Exact] reports true, because net/http handlers redirect out of the
// branch when they see an empty path. So PathBase + Path is always the original
// path, or the original path + "/" where Exact.
//
// r.URL.RawPath follows: it is an encoding of Path in the request's own
// spelling, or "" where that is the default one. An escaped slash ends a
// segment like any other: "/admin%2Fs" is "/s" below "/admin".
//
// [MapWith] changes these rules: the case of letters counts, or the path stays
// as it is.
//
// # Links and redirects
//
// Below a branch, http.Redirect and http.ServeMux's own redirects (to the
// clean path, and from /tree to /tree/) lead out of it: they know the path only
// as the branch sees it. Remedies: [Redirect] and [Link], which put the PathBase
// in front; MapOptions.PreservePath and a ServeMux with full patterns; or
// middleware.Endpoints, which puts the PathBase into a ServeMux's redirects.
// http.FileServer's redirects are relative and stay in the branch; but for
// "/files" exactly it answers with the index of "/", whose relative links then
// lack the slash. middleware.StaticFiles asks Exact and redirects there.
//
// # Patterns
//
// http.ServeMux sets r.Pattern on the request that it got, and the components
// around a branch have another one. So Map and UsePathBase hand the pattern up
// when the branch has returned or panicked: "GET /items/{id}" below Map("/api")
// is "GET /api/items/{id}" outside. The prefix is spelled as it was registered,
// not as the client wrote it: the pattern is a label, with few values. That is
// done only if the branch has changed the pattern and r's is still what it was.
// Pattern is the one field of the caller's request that this package writes, as
// ServeMux itself does.
//
// # Guards
//
// net/http does not remove dot segments and empty segments as other servers do.
// Map and Path therefore match on the cleaned path: /x/../admin is /admin to
// them, also where the dots or slashes are escaped. What that guarantees: every
// request whose decoded and cleaned path is on or below the prefix takes the
// branch. A guard so made holds for what reads paths in the same way, such as
// http.FileServer behind it.
//
// It does not hold for what reads them otherwise. http.ServeMux and most
// routers match the escaped path segment by segment: "/admin/%2e%2e/x" is
// "/x" to Map and goes on to the main line, and is below "/admin/" to a ServeMux
// there. [CleanPaths] in front, which the handlers of package pipeline have
// built in, lets no path pass that can be read in two ways. With it the guard
// holds for these as well.
//
// It can't hold for file systems that know a file by several names: those that
// ignore the case of other than ASCII letters or normalise Unicode (macOS), that
// drop dots and spaces at the end of names or have short names (Windows). Put
// the guard around the files themselves there, not around a path.
//
// # Concurrency
//
// Everything here is safe for concurrent use after construction. The request
// that a branch gets is a shallow copy; but for r.Pattern, see above, the
// caller's is never changed.
//
// # Failure
//
// Mistakes in arguments panic at construction with a text that begins with the
// function's name. [CheckPrefix] tells beforehand. A prefix that looks like a
// pattern or an escaped path is taken for a mistake.
//
// # Testing
//
// Branches are plain handlers: httptest.NewRequest and a recorder do. What they cost
// is measured with the writers of package pipelinetest.
package branch

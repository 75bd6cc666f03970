// Package branch sends requests down different ways: by path prefix, or by any
// other property of the request. It works with every router and chain that
// speaks func(http.Handler) http.Handler; package pipeline builds on it.
//
// # Usage
//
//	mux := branch.Map("/admin", admin)(site)            // /admin and below go to admin
//	mux = branch.When(branch.Query("debug"), dump)(mux) // ?debug goes to dump
//	mux = branch.UseWhen(branch.Not(branch.Method("GET")), audit)(mux)
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
// net/http does not remove dot segments and empty segments as other servers do.
// Map and Path therefore match on the cleaned path: /x/../admin is /admin to
// them. Whoever serves files beside a guarded branch should refuse unclean
// paths altogether, as package pipeline does.
//
// # Concurrency
//
// Everything here is safe for concurrent use after construction. The request
// that a branch gets is a shallow copy; the caller's is never changed.
//
// # Failure
//
// Mistakes in arguments panic at construction with a text that begins with the
// function's name. [CheckPrefix] tells beforehand.
package branch

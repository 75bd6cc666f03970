// Package chains has no code: its tests put components of package middleware, one at a
// time, into other chains (alice, negroni, http.ServeMux), and other libraries' writers
// around and below an observer.
//
// # Order
//
// A chain that is not a pipeline does not clean paths: if a component guards a prefix, put
// branch.CleanPaths first.
//
// Writers of negroni or chi components need no special treatment: a component that observes
// sees the start of the response through every write path of http.ResponseWriter, also if a
// wrapper offers a path only through Unwrap. The first observer of a request wraps the
// writer, so its record does not include output of a component outside of it after the
// handlers have returned.
package chains

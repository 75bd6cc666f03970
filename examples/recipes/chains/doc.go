// Package chains has no code: its tests put components of package middleware, one
// at a time, into the chains of others (alice, negroni, http.ServeMux), and the
// writers of others around and below an observer.
//
// # Order
//
// In a chain that is no pipeline nothing cleans paths: where something guards a
// prefix, put branch.CleanPaths first.
//
// What a negroni or chi component wraps the writer with is no obstacle: a
// component that observes sees the start of the response through all of
// http.ResponseWriter's doors, also where a wrapper offers a door only by Unwrap.
// The first observer on a request is the one that wraps, so what a component
// outside of it sends after the handlers have returned is not in its record.
package chains

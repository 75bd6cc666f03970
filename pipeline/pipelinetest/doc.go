// Package pipelinetest has what tests and benchmarks of middleware need beside
// net/http/httptest: response writers with exactly the optional methods of those
// of net/http's own servers. httptest.ResponseRecorder has others, so what a
// middleware asserts is not there, and what it costs is not what it costs in a
// server.
//
// # Usage
//
//	w := pipelinetest.NewHTTP1()
//	for b.Loop() {
//		w.Reset()
//		h.ServeHTTP(w, r)
//	}
//
// # Concurrency
//
// A writer belongs to one goroutine.
//
// # Failure
//
// A writer fails nothing by itself: it records what was done to it, as far as a
// server would have.
package pipelinetest

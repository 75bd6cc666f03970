// Package pipelinetest has response writers for tests and benchmarks of middleware, in
// addition to net/http/httptest. Their optional methods are exactly those of the writers of
// net/http's servers. httptest.ResponseRecorder has different methods, so a middleware's
// interface assertions and costs differ from those in a server.
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
// A writer never fails a test: it records the calls, as far as a server would.
package pipelinetest

// Package benchmarks compares Speaking Tube with other libraries. It is a module
// of its own because it requires those. Its programs print the tables in
// docs/benchmarks.md:
//
//	go run ./examples/benchmarks/stack    # what components cost a request
package benchmarks

// Package benchmarks compares Speaking Tube with other libraries. It is a module
// of its own because it requires those. Its programs print the tables in
// docs/benchmarks.md:
//
//	go run ./examples/benchmarks/stack       # what components cost a request
//	go run ./examples/benchmarks/stalled     # what one client that does not read does to the others
//	go run ./examples/benchmarks/blocking    # what callbacks that block do to the others
//	go run ./examples/benchmarks/idle        # what 15,000 sockets cost that do nothing
//	go run ./examples/benchmarks/compression # what compressing a broadcast costs and saves
//	go run ./examples/benchmarks/drain       # how a server with 8,000 sockets ends
//	go run ./examples/benchmarks/soak        # what minutes of load and failing networks leave behind
//
// All but the first need nothing but Linux and two processes with -n descriptors
// each; they fail if a bound is missed. Reliability runs the tests that docs/reliability.md names,
// and writes its tables. The tests in clients let the WebSocket clients
// of other libraries talk to a Manager.
package benchmarks

// Package harness is shared by the measurement programs of this module. It runs a server
// in a process of its own, opens thousands of cheap WebSocket clients, reads memory,
// processor time and descriptors of processes, and prints results beside their bounds.
//
// A program calls [RunChild] and then [Main]. The process that the user starts is the
// parent: it owns the clients and the clock. The child is the same executable, started
// by [WithChild], and owns the server.
package harness

// Package typescript writes the methods and events of a hub, and the Go types in them, as a module in TypeScript: types for
// the connections of the npm package @microsoft/signalr, which the compiler removes.
//
// A Go type is described as the JavaScript client reads and writes it. What the package cannot describe is an error. The same
// hub has the same output, byte for byte.
//
// The package does not know the hub: package hub inspects the functions and describes them by a [Hub].
package typescript

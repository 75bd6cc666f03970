// Package mpack reads and writes single values of MessagePack: headers, numbers, texts and timestamps. It knows no Go types
// and no messages of hubs.
//
// Readers accept every encoding of the specification and check each length against the data. Writers use the shortest form
// for integers and lengths, as Microsoft's clients do. The package keeps no state; callers own all buffers.
package mpack

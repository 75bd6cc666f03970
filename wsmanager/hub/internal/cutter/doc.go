// Package cutter cuts records out of a stream of bytes that arrives in pieces of any size. A record may begin and end
// anywhere in a piece. The work for each received byte is constant, however the bytes are cut into pieces: bytes that were
// searched for the end of a record are not searched again, and each byte moves twice at most on average.
//
// The package knows no protocol: the caller passes a function that finds the end of a record. It does not limit the
// length of records either; the function does. A Cutter belongs to the goroutine that reads the connection.
package cutter

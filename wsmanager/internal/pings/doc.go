// Package pings matches the pongs of a peer to the pings of one connection, and measures the
// round-trip times. It sends nothing and knows no connection.
//
// Each ping has a random payload, so that a peer cannot answer it before it has arrived. A
// peer may answer only the newest ping that it has read (RFC 6455, section 5.5.3), so a pong
// answers its ping and all earlier ones. A pong with another payload answers nothing.
//
// A List has no lock: its owner guards it.
package pings

// Package token makes the connection tokens of a hub and records which of them were used.
//
// A token is sealed: all that a node must know about a negotiation is in it, encrypted and authenticated with AES-GCM. So a
// negotiation stores nothing, and each node that has the keys can open the token. A [Record] ensures that a token begins at
// most one connection on its node. Its memory is bounded.
//
// The package knows neither HTTP nor hubs. The hub owns the connections in a Record and decides what a client is answered.
package token

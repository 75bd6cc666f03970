// Package connid makes the ids of connections and envelopes: 128 random bits as text. It
// knows nothing of nodes: with a backplane, the Manager appends its node's part.
package connid

// Package ratelimit limits how much one peer may send in a time: messages, and control
// frames. It only decides whether one more is allowed; the caller closes the connection of a
// peer that sends too many.
package ratelimit

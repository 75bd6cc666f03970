// Package pace estimates how long calls of a function take, so that its caller can decide whether a call is worth a goroutine of its own.
package pace

// Package activity counts activities, so that one can wait until none is left. A Manager
// counts the handshakes, connections and goroutines for which its Shutdown waits. The wait
// ends with a context, and activities may begin during it; a sync.WaitGroup allows neither.
// The package starts no goroutine.
package activity

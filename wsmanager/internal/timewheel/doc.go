// Package timewheel is one timer for any number of elements. Each element has at most one
// due time, rounded up to a tick. An element costs neither a timer nor a goroutine nor an
// allocation: it contains its [Entry], by which it is linked into a slot of the [Wheel]. The
// wheel has a timer only while it has elements.
//
// The wheel has a single level of slots. An element whose time is beyond one turn waits in
// the last slot. Its Due method is then called too early, and has to compare the time.
//
// The wheel guards all entries with its own lock, which it does not hold while it calls Due.
package timewheel

// Package broadcast delivers messages to sets of connections: all connections of a Manager, its
// groups and its users. Each set has a [Queue] of pending broadcasts, which are delivered in
// batches. The package keeps the order between broadcasts to several sets, and between
// broadcasts and other messages to a connection; see [Queue].
//
// It does not encode messages, and does no I/O: a connection, of which it knows only the
// interface [Conn], writes frames or queues them. It does not decide when a connection is
// ready or closes.
//
// A connection contains its [Reception], which belongs to this package and is guarded by the
// lock of the connection. That lock comes before the locks of this package. None of them is
// held while a frame is written, except the lock of the connection that writes.
package broadcast

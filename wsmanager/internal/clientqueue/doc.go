// Package clientqueue keeps the messages of a client that reconnects until they have been
// written: it sends them on the present connection, and again on the next one if the connection
// ends before.
//
// It knows a connection by the interface [Conn] only. It neither connects nor encodes, and it
// sets no timer: wsmanager.Client tells it which connection is the present one.
//
// # Ownership
//
// A [Queue] belongs to one client and is safe for concurrent use. It has two locks. The order
// lock is held during a send and is taken before the lock of a connection. The other one guards
// the queue and is taken after the lock of a connection, because the connection reports written
// messages while it holds its own. The queue keeps a copy of a frame, unless the Source of the
// message owns the frame.
package clientqueue

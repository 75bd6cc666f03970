// Package counters has the counters of a Manager: traffic, handshakes, dropped messages,
// compression and ends. They only grow. It does not know connections: the packages that
// count call it, and the Manager reads it for its Stats. The counters of the backplane are
// not here.
package counters

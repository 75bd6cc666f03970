// Package backplanetest checks that a wsmanager.Backplane, for example an adapter for a
// broker, gives Managers the guarantees that they need. It can also break a Backplane on
// purpose, for tests of services with many nodes.
//
// # Usage
//
//	func TestBackplane(t *testing.T) {
//		backplanetest.Run(t, func(t testing.TB) backplanetest.Bus {
//			broker := startBroker(t)
//			return backplanetest.Bus{
//				Node: func() wsmanager.Backplane { return mybackplane.New(broker.Addr()) },
//				Cut:  broker.Cut,
//			}
//		})
//	}
//
// Run starts several Managers in this process, each with a Backplane of its own on the same
// bus, and clients in memory. It asserts the requirements in the documentation of
// wsmanager.Backplane, and the promises of Managers that depend on them.
//
// # Faults
//
// [Faults] is a Backplane around another one that delays, loses, stalls or cuts the traffic
// on demand.
//
// # Concurrency
//
// Run belongs to the test's goroutine, and checks its guarantees one after the other. The
// methods of Faults are safe for concurrent use.
//
// # Failure
//
// Each guarantee is a subtest, which reports the expected and the actual behaviour.
// Anything that does not happen within Bus.Patience fails it.
//
// # Time
//
// No check waits by sleeping. With a bus without sockets, such as wsmanager.LocalBus,
// everything also works in a testing/synctest bubble.
package backplanetest

// Package backplanetest checks that a wsmanager.Backplane, an adapter for a broker say,
// keeps what Managers need from it; and breaks one on purpose, for tests of services of
// many nodes.
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
// Run starts several Managers in this process, each with a Backplane of its own on the
// same bus, and clients in memory. It asserts what the documentation of
// wsmanager.Backplane asks for, and what Managers promise if it is kept.
//
// # Faults
//
// [Faults] is a Backplane around another that delays, loses, stops or cuts what goes
// over it, when it is told to.
//
// # Concurrency
//
// Run belongs to the test's goroutine, and its guarantees run one after the other. The
// methods of Faults are safe for concurrent use.
//
// # Failure
//
// Each guarantee is a subtest, which says what was expected of the bus and what came.
// What does not happen within Bus.Patience fails it.
//
// # Time
//
// Nothing is waited for by sleeping. On a bus without sockets, such as
// wsmanager.LocalBus, everything also works in a testing/synctest bubble.
package backplanetest

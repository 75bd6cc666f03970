package wsmanager

import (
	"context"
	"errors"
)

// Backplane connects the Managers of several processes, so that a message reaches connections
// on all of them: see Options.Backplane. An adapter for a broker implements it; [LocalBus] is
// one for a single process. Package wsmanager/backplanetest checks the requirements below.
//
// A Backplane moves opaque bytes, envelopes, from one node to the nodes that have subscribed to
// a topic. It may lose an envelope, deliver it twice, or deliver it to its sender. It must
// deliver the envelopes of one node whole and in the order in which the node published them,
// across all topics.
type Backplane interface {
	// Connect makes a node of the bus. One goroutine of each Manager calls it: after New has
	// returned, and again after a link has ended. An error is counted in [Stats], and Connect is
	// called again after a delay, without a limit.
	//
	// ctx is for the duration of the call only.
	Connect(ctx context.Context, node BackplaneNode) (BackplaneLink, error)
}

// BackplaneNode is one Manager, as a bus sees it.
type BackplaneNode struct {
	// ID is random text of capital letters and digits, new for each Manager. It can be used as
	// the name of the connection to a broker.
	ID string

	// Receive takes an envelope that was published to a topic that the node has subscribed to.
	// It does not wait for a network or for a callback, and it neither keeps nor changes the
	// slice. Calls may be concurrent, except for envelopes of one node, whose order would be
	// lost. No call may begin after the link's Close has returned.
	Receive func(envelope []byte)
}

// BackplaneLink is a node's connection to a bus. One goroutine calls Publish, Subscribe,
// Unsubscribe and Close, one after the other. Health may be called concurrently.
//
// A link that has lost its connection may restore it together with all subscriptions; until
// then Health returns an error. Otherwise it ends and closes Done: then the Manager connects
// again and repeats all subscriptions.
//
// Contexts have a deadline of at most BackplaneQueue.Timeout. A method that continues after
// its context has ended delays all later calls and Shutdown.
type BackplaneLink interface {
	// Publish sends an envelope to all nodes that have subscribed to the topic. It returns nil
	// when no later envelope of the node can arrive before this one; the envelope need not have
	// arrived. The envelope is not changed afterwards, so the adapter may keep it.
	//
	// After an error of a link that is not healthy, the envelope is published again when the
	// link is healthy or another link has been made, until BackplaneQueue.Timeout has passed
	// since the send. After an error of a healthy link, the bus has refused the envelope, for
	// example because it is too big, and the envelope is dropped.
	//
	// A topic has 1 to 120 characters, which are letters, digits, '-', '_' and '='. Case is
	// significant. The adapter should add a prefix of the application, which separates
	// applications on the same broker.
	Publish(ctx context.Context, topic string, envelope []byte) error

	// Subscribe begins to receive the envelopes of the topics. After it has returned nil, the
	// node receives all envelopes that any node publishes. A node subscribes to a few topics of
	// its own, and to one for each group and each user with connections on it. An adapter for a
	// bus without topics receives everything and does nothing here: a node ignores envelopes
	// that are not for its connections.
	//
	// After an error it is called again, with these topics and perhaps others.
	Subscribe(ctx context.Context, topics []string) error

	// Unsubscribe ends subscriptions.
	Unsubscribe(ctx context.Context, topics []string) error

	// Health returns an error if the link can at present neither publish nor receive, as far as
	// it knows. It does not wait.
	Health() error

	// Done is closed when the link has ended without Close. It may return nil if that never
	// happens.
	Done() <-chan struct{}

	// Close publishes all accepted envelopes, ends all subscriptions and closes the link. No
	// goroutine of the link is left. It is called once, also after Done was closed.
	Close(ctx context.Context) error
}

// ErrBackplane is returned by calls for a connection on another node if the queue of the
// backplane is full, or if the Manager has shut down.
var ErrBackplane = errors.New("wsmanager: the backplane took no message")

var (
	errNoLink  = errors.New("not connected")
	errStalled = errors.New("wsmanager: backplane: a call has not returned")
)

// PingBackplane returns nil if the backplane is connected, or if there is none. Otherwise its
// error is the one of the last failed call, or says that a call has not returned for a second.
// It does not wait. Its signature is that of a ping, for health checks:
//
//	middleware.HealthCheck{Name: "backplane", Check: middleware.Ping(chat.PingBackplane), Tags: []string{"ready"}}
//
// Connections on this node are served without the backplane too. Consider whether a node
// without it should leave the load balancer, and never restart the process because of it.
func (m *Manager) PingBackplane(context.Context) error {
	if m.bus == nil {
		return nil
	}
	return m.bus.health()
}

// FlushBackplane waits until all messages that were sent before the call have been published or
// dropped, and the node receives the messages of other nodes to its present groups and users. It
// returns the cause of ctx if that ends first, ErrBackplane if the Manager has shut down, and
// nil at once without a backplane.
//
// Use it at the end of a job that only sends, and in tests. After a Join, messages of other
// nodes to the group arrive a moment later: if you must not miss one, call Join, then
// FlushBackplane, then announce the membership.
func (m *Manager) FlushBackplane(ctx context.Context) error {
	if m.bus == nil {
		return nil
	}
	return m.bus.queue.flush(ctx)
}

package wsmanager

import (
	"context"
	"errors"
)

// Backplane connects the Managers of several processes, so that a message reaches
// connections wherever they live: see Options.Backplane. It is what an adapter for a
// broker implements; [LocalBus] is one for a single process. Package
// wsmanager/backplanetest checks that an adapter keeps what is asked for here.
//
// A Backplane moves opaque bytes, envelopes, from one node to those that have
// subscribed to a topic. It needs to promise little: an envelope may be lost, come
// twice, or come back to its sender. But those of one node must arrive in the order in
// which it published them, whatever their topics, and whole.
type Backplane interface {
	// Connect makes a node of the bus. It is called by one goroutine of each Manager:
	// when New has returned, and again when a link has ended. An error is
	// counted in [Stats] and Connect is called again later, for as long as it takes.
	//
	// ctx is only for the time that it takes to connect.
	Connect(ctx context.Context, node BackplaneNode) (BackplaneLink, error)
}

// BackplaneNode is one Manager, as a bus sees it.
type BackplaneNode struct {
	// ID is random text, new for each Manager: capital letters and digits. It is good
	// for the name of the connection to a broker.
	ID string

	// Receive takes an envelope that was published to one of the topics that the node
	// has subscribed to. It waits for no network and for nobody's callback, keeps
	// nothing of the slice and does not change it. It may be called by any number of
	// goroutines, but only by one at a time for what one node has published, or its
	// order is lost; and until the link's Close has returned.
	Receive func(envelope []byte)
}

// BackplaneLink is a node's connection to a bus. Publish, Subscribe, Unsubscribe and
// Close are called by one goroutine, one after the other, Health by any.
//
// A link that has lost its connection may come back by itself, with all of its
// subscriptions; while it has none, Health says so. Or it ends: then Done is closed,
// and the Manager connects anew and subscribes to everything again.
//
// Contexts have a deadline, Options.BackplaneQueue.Timeout at most. A method that goes on
// after its context has ended holds up what comes after it, Shutdown at last.
type BackplaneLink interface {
	// Publish sends an envelope to all nodes that have subscribed to the topic. It
	// returns nil when it is certain that what the node publishes afterwards can't
	// arrive before it; not necessarily when it has arrived. Nobody changes the
	// envelope any more, so it may be kept.
	//
	// After an error the envelope is published again if the link is not healthy, once
	// it is or another has taken its place, until BackplaneQueue.Timeout has passed since
	// the message was sent. If the link is healthy the bus does not want this envelope, because it
	// is too big for it perhaps, and it is dropped.
	//
	// A topic has 1 to 120 characters, of letters, digits, '-', '_' and '='. Case
	// counts. The bus should add a prefix of the application's, to be told from the
	// others that use the same broker.
	Publish(ctx context.Context, topic string, envelope []byte) error

	// Subscribe begins to receive what is published to the topics. When it returns
	// nil, nothing is missed that any node publishes from then on. A node subscribes to a
	// handful of topics of its own and to one for each group and each user with
	// connections on it, as they come and go. An adapter for a bus without topics
	// receives everything and does nothing here: what a node gets though it has not
	// subscribed to it harms nobody.
	//
	// After an error it is called again, with these topics and perhaps others.
	Subscribe(ctx context.Context, topics []string) error

	// Unsubscribe ends what Subscribe began.
	Unsubscribe(ctx context.Context, topics []string) error

	// Health is why the link can neither publish nor receive at present, nil if it can as far as it
	// knows. It waits for nothing.
	Health() error

	// Done is closed when the link has ended by itself. It may be nil for one that never
	// does.
	Done() <-chan struct{}

	// Close ends the link, whatever its state: what was published goes out, all
	// subscriptions end, nothing of it is left running. It is called once, also for a
	// link whose Done is closed.
	Close(ctx context.Context) error
}

// ErrBackplane is returned by sends to a connection on another node, and its like,
// that the backplane could not take: its queue is full, or the Manager has shut down.
var ErrBackplane = errors.New("wsmanager: the backplane took no message")

var (
	errNoLink  = errors.New("wsmanager: the backplane is not connected")
	errStalled = errors.New("wsmanager: the backplane is stuck")
)

// PingBackplane returns nil if the backplane is connected, or there is none, and
// otherwise why not: a call of it failed, or has not returned for a second. It waits
// for nothing. It has the shape of a ping, for health checks:
//
//	middleware.HealthCheck{Name: "backplane", Check: middleware.Ping(chat.PingBackplane), Tags: []string{"ready"}}
//
// Connections on this node are served without the backplane, too: think twice before it
// takes the node out of the load balancer, and never let it restart the process.
func (m *Manager) PingBackplane(context.Context) error {
	if m.bus == nil {
		return nil
	}
	return m.bus.health()
}

// FlushBackplane waits until all that was sent so far has been published, or dropped,
// and the node gets what others send to the groups and users that it has now. It
// returns ctx's error if that ends first, ErrBackplane once the Manager has shut down,
// and nil at once without a backplane.
//
// It is for the end of a job that only sends, and for tests. A group's members get what
// another node sends from shortly after they have joined; whoever needs to know that
// it is so, before telling the world, joins and then flushes.
func (m *Manager) FlushBackplane(ctx context.Context) error {
	if m.bus == nil {
		return nil
	}
	return m.bus.flush(ctx)
}

package wsmanager

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/connid"
)

// nodeMark separates a connection's id from the id of its node. With a backplane, each
// connection's id ends in that of its node, so that messages to one connection go to one
// node.
const nodeMark = '-'

// nodeOf returns the id of the node of a connection.
func nodeOf(id string) string { return id[strings.LastIndexByte(id, nodeMark)+1:] }

// newConnID makes the id of a connection that the Manager accepts. b may be nil.
func (b *bus) newConnID() string {
	if b == nil {
		return connid.New()
	}
	return connid.New() + string(nodeMark) + b.node
}

// newNodeID makes the id of a node: 65 of the 128 bits of an id are enough for it.
func newNodeID() string { return connid.New()[:13] }

// post publishes an envelope. It returns ErrBackplane if the queue does not take it.
func (b *bus) post(topic string, e *envelope) error {
	e.node = []byte(b.node)
	switch b.queue.push(publication{topic, e.append(make([]byte, 0, e.size())), b.m.wheel.Elapsed()}) {
	case nil:
		return nil
	case errQueueFull:
		b.stats.queueFull.Add(1)
	default:
		b.stats.shutDown.Add(1)
	}
	return ErrBackplane
}

// broadcast sends p to the connections of an audience on the other nodes. b may be nil.
func (b *bus) broadcast(a *Audience, p *Prepared) error {
	if b == nil {
		return nil
	}
	messages := b.messages(p)
	if len(messages) == 0 {
		return b.unsendableErr(p)
	}
	return b.postTo(a, &envelope{kind: envelopeConn, messages: messages})
}

// apply tells the other nodes to do what e says with the connections of an audience. b may
// be nil.
func (b *bus) apply(a *Audience, e *envelope) error {
	if b == nil {
		return nil
	}
	err := b.postTo(a, e)
	b.noteRemoteJoin(e, err)
	return err
}

// postTo publishes an envelope for the connections of an audience. A single group or user
// has its own topic. A union is one envelope to all nodes, because an envelope for each name
// would reach a connection several times.
func (b *bus) postTo(a *Audience, e *envelope) error {
	for id := range a.except.All() {
		if nodeOf(id) != b.node {
			e.except = append(e.except, id)
		}
	}
	topic := topicAll
	if a.kind != audienceAll {
		list := a.publishable()
		if len(list) == 0 {
			return nil // a group or user of this name can't exist
		}
		if len(list) == 1 {
			topic = b.topicFor(a.kind, list[0])
		}
		e.setAudience(a.kind, list)
		return b.post(topic, e)
	}
	e.setAudience(a.kind, nil)
	return b.post(topic, e)
}

// publishable returns the names that other nodes may know.
func (a *Audience) publishable() (list []string) {
	for name := range a.names.All() {
		if a.kind == audienceUsers || checkGroupName(name) == nil {
			list = append(list, name)
		}
	}
	return list
}

func (b *bus) topicFor(kind audienceKind, name string) string {
	switch {
	case kind == audienceUsers:
		return topicOf("user", name)
	case b.pendingJoins.has(name, b.m.wheel.Elapsed()):
		return topicAll
	}
	return topicOf("group", name)
}

// noteRemoteJoin notes that connections of other nodes were told to join a group.
func (b *bus) noteRemoteJoin(e *envelope, err error) {
	if e.kind == envelopeJoin && err == nil {
		ttl := 2 * min(b.m.opts.BackplaneTimeout, 1<<61) // the sum with the time does not overflow
		b.pendingJoins.add(string(e.text), b.m.wheel.Elapsed(), ttl)
	}
}

// unsendableErr returns the error of a message of which no variant can be sent: that of
// variant 0.
func (b *bus) unsendableErr(p *Prepared) error {
	_, err := b.m.frame(p, encodingOf(0, false))
	return err
}

// postToConn sends an envelope to the other node that has the connection with the id. b may be
// nil.
func (b *bus) postToConn(id string, e *envelope) error {
	if b == nil || !strings.ContainsRune(id, nodeMark) || len(id) > maxConnID {
		return ErrNoConn
	}
	node := nodeOf(id)
	if node == b.node || node == "" {
		return ErrNoConn
	}
	e.target = []byte(id)
	return b.post(topicOfNode(node), e)
}

// maxConnID is an upper bound of the length of a connection's id.
const maxConnID = 128

// applyTo tells another node to do what e says with one of its connections. b may be nil.
func (b *bus) applyTo(id string, e *envelope) error {
	err := b.postToConn(id, e)
	if b != nil {
		b.noteRemoteJoin(e, err)
	}
	return err
}

// send sends a message to a connection of another node. b may be nil.
func (b *bus) send(id string, msg Message) error {
	if b == nil {
		return ErrNoConn
	}
	if err := checkOutgoing(b.m, &msg); err != nil {
		return err
	}
	return b.postToConn(id, &envelope{kind: envelopeConn, messages: []variantMessage{{allVariants, msg}}})
}

// sendPrepared sends a prepared message to a connection of another node. b may be nil.
func (b *bus) sendPrepared(id string, p *Prepared) error {
	if b == nil {
		return ErrNoConn
	}
	messages := b.messages(p)
	if len(messages) == 0 {
		return b.unsendableErr(p)
	}
	return b.postToConn(id, &envelope{kind: envelopeConn, messages: messages})
}

// pendingRemoteJoins has the groups that connections of other nodes were told to join
// recently. Their nodes may not have subscribed to the groups yet. Until then, messages to
// these groups are published to all nodes.
type pendingRemoteJoins struct {
	some atomic.Bool // groups may not be empty

	mu     sync.Mutex               // guards the fields below
	groups map[string]time.Duration // when the entry ends, in the wheel's elapsed time
	sweep  int                      // the number of groups at which ended entries are removed
}

func (d *pendingRemoteJoins) add(name string, now, ttl time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.groups == nil {
		d.groups, d.sweep = make(map[string]time.Duration), 64
	}
	d.groups[name] = now + ttl
	d.some.Store(true)
	if len(d.groups) < d.sweep {
		return
	}
	for name, until := range d.groups {
		if until <= now {
			delete(d.groups, name)
		}
	}
	d.sweep = max(64, 2*len(d.groups))
}

func (d *pendingRemoteJoins) has(name string, now time.Duration) bool {
	if !d.some.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.groups[name]
	if ok && until <= now {
		delete(d.groups, name)
		d.some.Store(len(d.groups) > 0)
		ok = false
	}
	return ok
}

package wsmanager

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/connid"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// A connection's id ends in that of its node where there is a backplane, so that what is
// for one connection goes to one node.
const nodeMark = '-'

// nodeOf returns the node that a connection's id names, "" if it names none.
func nodeOf(id string) string { return id[strings.LastIndexByte(id, nodeMark)+1:] }

// newConnID makes the id of a connection that m accepts.
func (m *Manager) newConnID() string {
	if m.bus == nil {
		return connid.New()
	}
	return connid.New() + string(nodeMark) + m.bus.node
}

// newNodeID makes the id of a node: 65 of the 128 bits of an id are enough for it.
func newNodeID() string { return connid.New()[:13] }

// post publishes an envelope. It reports whether the queue has taken it.
func (b *bus) post(topic string, e *envelope) bool {
	e.node = []byte(b.node)
	switch b.queue.push(parcel{topic, e.append(make([]byte, 0, e.size())), b.m.wheel.Elapsed()}) {
	case nil:
		return true
	case errQueueFull:
		b.stats.queueFull.Add(1)
	default:
		b.stats.shutDown.Add(1)
	}
	return false
}

// broadcast tells the other nodes of a broadcast: before it is delivered here, so that
// they hear of it before they do of the answers.
func (b *bus) broadcast(kind envelopeKind, name string, p *Prepared, except []string) {
	e := envelope{kind: kind, messages: b.m.messages(p)}
	if len(e.messages) == 0 {
		return // it can't be sent, which is said here
	}
	for _, id := range except {
		if nodeOf(id) != b.node {
			e.except = append(e.except, id)
		}
	}
	topic := topicAll
	switch kind {
	case envelopeGroup:
		e.target = []byte(name)
		if !b.distant.has(name, b.m.wheel.Elapsed()) {
			topic = topicOf("group", name)
		}
	case envelopeUser:
		topic, e.target = topicOf("user", name), []byte(name)
	}
	b.post(topic, &e)
}

// toConn sends an envelope to the node of a connection that is not here.
func (m *Manager) toConn(id string, e *envelope) error {
	b := m.bus
	if b == nil || !strings.ContainsRune(id, nodeMark) || len(id) > maxConnID {
		return ErrNoConn
	}
	node := nodeOf(id)
	if node == b.node || node == "" {
		return ErrNoConn
	}
	e.target = []byte(id)
	if !b.post(topicOfNode(node), e) {
		return ErrBackplane
	}
	return nil
}

// maxConnID is more than an id of ours has.
const maxConnID = 128

// sendAway is Send to a connection that is not here.
func (m *Manager) sendAway(id string, msg Message) error {
	if m.bus == nil {
		return ErrNoConn
	}
	if err := checkType(msg); err != nil {
		return err
	}
	if frame.Size(len(msg.Payload)) > m.maxFrame() {
		return ErrMessageTooBig
	}
	return m.toConn(id, &envelope{kind: envelopeConn, messages: []variantMessage{{allVariants, msg}}})
}

// sendPreparedAway is SendPrepared to a connection that is not here.
func (m *Manager) sendPreparedAway(id string, p *Prepared) error {
	if m.bus == nil {
		return ErrNoConn
	}
	messages := m.messages(p)
	if len(messages) == 0 {
		_, err := m.frame(p, encodingOf(0, false))
		return err
	}
	return m.toConn(id, &envelope{kind: envelopeConn, messages: messages})
}

// closeAway is CloseConn of a connection that is not here.
func (m *Manager) closeAway(id string, code StatusCode, reason string) error {
	if m.bus == nil {
		return ErrNoConn
	}
	if err := checkClose(code, reason); err != nil {
		return err
	}
	return m.toConn(id, &envelope{kind: envelopeClose, code: code, text: []byte(reason)})
}

// JoinGroup makes the connection with the id a member of a group; see [Conn.Join],
// whose errors it returns. It returns ErrNoConn if there is no connection with the id.
//
// With a backplane the connection may live on another node. Then nil says only that the
// node is told: whether the connection is still there, and in how many groups it is
// already, is seen there. What this node sends to the group afterwards reaches the
// connection if nothing on the way is lost, since it arrives there after this; what
// other nodes send does shortly after.
func (m *Manager) JoinGroup(id, name string) error {
	if c := m.registry.get(id); c != nil {
		return c.Join(name)
	}
	if err := checkGroupName(name); err != nil {
		return err
	}
	err := m.toConn(id, &envelope{kind: envelopeJoin, text: []byte(name)})
	if err == nil {
		b := m.bus
		b.distant.add(name, b.m.wheel.Elapsed(), 2*b.m.opts.BackplaneTimeout)
	}
	return err
}

// LeaveGroup ends the membership of the connection with the id in a group, if there is
// one; see [Conn.Leave], and JoinGroup for connections on other nodes and for errors.
func (m *Manager) LeaveGroup(id, name string) error {
	if c := m.registry.get(id); c != nil {
		c.Leave(name)
		return nil
	}
	if err := checkGroupName(name); err != nil {
		return err
	}
	return m.toConn(id, &envelope{kind: envelopeLeave, text: []byte(name)})
}

// distant is the groups that connections of other nodes were lately told to join. Their
// nodes may not have subscribed to them yet: until then they get what is sent to the
// group as all nodes do.
type distant struct {
	some atomic.Bool // groups may have something

	mu     sync.Mutex               // guards what follows
	groups map[string]time.Duration // until when, as the wheel has it
	sweep  int                      // how many there may be until the old ones are looked for
}

func (d *distant) add(name string, now, lasts time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.groups == nil {
		d.groups, d.sweep = make(map[string]time.Duration), 64
	}
	d.groups[name] = now + lasts
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

func (d *distant) has(name string, now time.Duration) bool {
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

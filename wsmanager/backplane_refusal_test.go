package wsmanager_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// refusingBus is a bus that refuses the first calls of each kind although its links work.
type refusingBus struct {
	wsmanager.LocalBus

	mu       sync.Mutex // guards the fields below
	refusals map[string]int
	topics   map[string]bool // currently subscribed
}

var errRefused = errors.New("not now")

// refuses reports whether the bus refuses this call.
func (b *refusingBus) refuses(call string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals[call]--
	return b.refusals[call] >= 0
}

func (b *refusingBus) Connect(ctx context.Context, n wsmanager.BackplaneNode) (wsmanager.BackplaneLink, error) {
	if b.refuses("connect") {
		return nil, nil // a bug that an adapter may have
	}
	l, err := b.LocalBus.Connect(ctx, n)
	return &refusingLink{l, b}, err
}

func (b *refusingBus) note(topics []string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		b.topics[topic] = on
	}
}

// subscribed returns the number of subscribed topics.
func (b *refusingBus) subscribed() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for on := range maps.Values(b.topics) {
		if on {
			n++
		}
	}
	return n
}

type refusingLink struct {
	wsmanager.BackplaneLink
	bus *refusingBus
}

func (l *refusingLink) Subscribe(ctx context.Context, topics []string) error {
	if l.bus.refuses("subscribe") {
		return errRefused
	}
	l.bus.note(topics, true)
	return l.BackplaneLink.Subscribe(ctx, topics)
}

func (l *refusingLink) Unsubscribe(ctx context.Context, topics []string) error {
	if l.bus.refuses("unsubscribe") {
		return errRefused
	}
	l.bus.note(topics, false)
	return l.BackplaneLink.Unsubscribe(ctx, topics)
}

func (l *refusingLink) Close(ctx context.Context) error {
	return errors.Join(l.BackplaneLink.Close(ctx), errRefused)
}

// If the bus refuses to subscribe or to unsubscribe, the Manager tries again until it
// succeeds. It counts the refusals.
func TestRefusedSubscriptionsAreRetried(t *testing.T) {
	onEachDriverAtOnce(t, testRefusedSubscriptionsAreRetried)
}

func testRefusedSubscriptionsAreRetried(t *testing.T) {
	bus := &refusingBus{refusals: map[string]int{"connect": 1, "subscribe": 2, "unsubscribe": 2}, topics: map[string]bool{}}
	opts := optionsWithoutLog()
	opts.Backplane = bus
	m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery}, opts, nil)
	other := optionsWithoutLog()
	other.Backplane = &bus.LocalBus
	from, _ := serve(t, wsmanager.Callbacks{}, other, nil)

	c := dialOver(t, url+"?group=g", nil)
	require.Eventually(t, func() bool { return bus.subscribed() == 3 }, wstest.Patience, time.Millisecond, "the topics of all connections, of the node and of the group")
	require.NoError(t, m.FlushBackplane(t.Context()))
	from.Group("g").Send(wsmanager.Text("from the other node"))
	c.ExpectText("from the other node")

	c.SendClose(1000, "")
	c.ExpectClose(1000)
	require.Eventually(t, func() bool { return bus.subscribed() == 2 }, wstest.Patience, time.Millisecond)
	require.EqualValues(t, 5, m.Stats().Backplane.Errors)
	require.NoError(t, m.Shutdown(t.Context()), "Shutdown does not return the error of the link's Close")
	require.EqualValues(t, 6, m.Stats().Backplane.Errors)
}

// Join and Leave by id use the bus only for connections of other nodes.
func TestLeaveByID(t *testing.T) { onEachDriver(t, testLeaveByID) }

func testLeaveByID(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Backplane = &wsmanager.LocalBus{}
	m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery}, opts, nil)
	c := dialOver(t, url+"?group=g", nil)
	conn := onlyConn(t, m)
	require.NoError(t, m.Conns(conn.ID()).Leave("g"))
	require.Empty(t, conn.Groups())
	require.NoError(t, m.Conns(conn.ID()).Join("h"))
	require.Equal(t, []string{"h"}, conn.Groups())
	require.Error(t, m.Conns("unknown").Leave(""), "the name is invalid")
	c.SendClose(1000, "")
	c.ExpectClose(1000)
}

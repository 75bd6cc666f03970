package wsmanager

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// envelopes returns envelopes of each kind.
func envelopes() map[string]envelope {
	text := []variantMessage{{allVariants, Text("hello")}}
	plain := Message{Type: BinaryMessage, Payload: []byte{0, 1, 2}, NoCompression: true}
	return map[string]envelope{
		"all":            {kind: envelopeAll, sequence: 1, node: []byte("N"), messages: text},
		"all, except":    {kind: envelopeAll, sequence: math.MaxUint64, node: []byte("NODE"), messages: text, except: []string{"a", "", strings.Repeat("b", 300)}},
		"variants":       {kind: envelopeGroup, sequence: 1 << 40, node: []byte("NODE"), target: []byte("g"), messages: []variantMessage{{0b101, Text("")}, {0b10, plain}}},
		"user":           {kind: envelopeUser, sequence: 7, node: []byte("NODE"), target: bytes.Repeat([]byte{0xff}, 1000), messages: []variantMessage{{1, plain}}},
		"a big message":  {kind: envelopeConn, sequence: 7, node: []byte("NODE"), target: []byte("id"), messages: []variantMessage{{allVariants, Binary(make([]byte, 1<<20))}}},
		"close":          {kind: envelopeClose, sequence: 7, node: []byte("NODE"), target: []byte("id"), code: 4999, text: []byte("bye")},
		"close, nothing": {kind: envelopeClose, sequence: 7, node: []byte("NODE"), target: []byte("id")},
		"join":           {kind: envelopeJoin, sequence: 7, node: []byte("NODE"), target: []byte("id"), text: []byte("g")},
		"to groups":      {kind: envelopeConn, sequence: 7, node: []byte("NODE"), messages: text, except: []string{"a"}, scope: audienceGroups, names: []string{"g", "h"}},
		"close all":      {kind: envelopeClose, sequence: 7, node: []byte("NODE"), code: 1000, text: []byte("bye"), scope: audienceAll},
		"users join":     {kind: envelopeJoin, sequence: 7, node: []byte("NODE"), text: []byte("g"), scope: audienceUsers, names: []string{strings.Repeat("u", 300)}},
		"leave":          {kind: envelopeLeave, sequence: 7, node: []byte("NODE"), target: []byte("id"), text: []byte("g")},
	}
}

// requireEnvelope compares envelopes and ignores the difference between nil and empty.
func requireEnvelope(t require.TestingT, want, got envelope) {
	for _, e := range []*envelope{&want, &got} {
		for _, p := range []*[]byte{&e.target, &e.text} {
			*p = append([]byte{}, *p...)
		}
		for i := range e.messages {
			m := &e.messages[i]
			m.Payload = append([]byte{}, m.Payload...)
		}
	}
	require.Equal(t, want, got)
}

func TestEnvelope(t *testing.T) {
	for name, want := range envelopes() {
		t.Run(name, func(t *testing.T) {
			p := want.append(nil)
			require.LessOrEqual(t, len(p), want.size())
			got, err := readEnvelope(p)
			require.NoError(t, err)
			requireEnvelope(t, want, got)
			for _, n := range []int{1, 2, 3, 9, 10, 11, len(p) / 2, len(p) - 1} {
				_, err = readEnvelope(p[:n])
				require.ErrorIs(t, err, errEnvelope, "%d of %d bytes", n, len(p))
			}
			_, err = readEnvelope(append(p, 0))
			require.ErrorIs(t, err, errEnvelope, "an extra byte")
		})
	}
}

func TestInvalidEnvelopes(t *testing.T) {
	e := envelopes()["variants"]
	good := e.append(nil)
	modified := func(change func(e *envelope)) []byte {
		e := envelopes()["variants"]
		change(&e)
		return e.append(nil)
	}
	scoped := func(change func(e *envelope)) []byte {
		e := envelopes()["to groups"]
		change(&e)
		return e.append(nil)
	}
	huge := append(bytes.Clone(good[:10]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f) // the length of the node's id
	for name, tt := range map[string]struct {
		p    []byte
		want error
	}{
		"nothing":                {nil, errEnvelope},
		"another version":        {append([]byte{3}, good[1:]...), errEnvelopeVersion},
		"no scope":               {append([]byte{2}, good[1:]...), errEnvelope},
		"JSON":                   {[]byte(`{"a":1}`), errEnvelopeVersion},
		"kind 0":                 {modified(func(e *envelope) { e.kind = 0 }), errEnvelope},
		"an unknown kind":        {modified(func(e *envelope) { e.kind = envelopeLeave + 1 }), errEnvelope},
		"no node":                {modified(func(e *envelope) { e.node = nil }), errEnvelope},
		"a long node":            {modified(func(e *envelope) { e.node = make([]byte, maxNodeID+1) }), errEnvelope},
		"a group without a name": {modified(func(e *envelope) { e.target = nil }), errEnvelope},
		"all with a name":        {modified(func(e *envelope) { e.kind = envelopeAll }), errEnvelope},
		"no message":             {modified(func(e *envelope) { e.messages = nil }), errEnvelope},
		"no variant":             {modified(func(e *envelope) { e.messages[0].variants = 0 }), errEnvelope},
		"a variant twice":        {modified(func(e *envelope) { e.messages[1].variants = 0b100 }), errEnvelope},
		"a ping":                 {modified(func(e *envelope) { e.messages[0].Type = 9 }), errEnvelope},
		"a huge length":          {huge, errEnvelope},
		"a huge count":           {append(bytes.Clone(good[:10+1+4+1+1]), 0xff, 0xff, 0xff, 0xff, 0x0f, 0), errEnvelope},
		"a close's code":         {append((&envelope{kind: envelopeClose, node: []byte("N"), target: []byte("id")}).append(nil)[:16], 0xff, 0xff, 0x7f, 0), errEnvelope},
		"all with names":         {scoped(func(e *envelope) { e.scope = audienceAll }), errEnvelope},
		"users without names":    {scoped(func(e *envelope) { e.scope, e.names = audienceUsers, nil }), errEnvelope},
		"a scope of ids":         {scoped(func(e *envelope) { e.scope = audienceConns }), errEnvelope},
		"a target and names":     {scoped(func(e *envelope) { e.target = []byte("id") }), errEnvelope},
		"a kind of version 1":    {scoped(func(e *envelope) { e.kind = envelopeAll }), errEnvelope},
		"a join's message":       {modified(func(e *envelope) { e.kind = envelopeJoin }), errEnvelope},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readEnvelope(tt.p)
			require.ErrorIs(t, err, tt.want)
			require.Zero(t, got)
		})
	}
}

// A count of messages that the envelope does not contain costs no more memory than the
// envelope.
func TestEnvelopesOfManyMessages(t *testing.T) {
	e := envelope{kind: envelopeAll, sequence: 1, node: []byte("N"), messages: []variantMessage{{1, Text("")}}}
	p := e.append(nil)
	const n = 1 << 20
	p = binary.AppendUvarint(p[:len(p)-4], n)
	for range n {
		p = append(p, 1, byte(TextMessage), 0) // all for the same variant
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readEnvelope(p)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, errEnvelope)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(len(p)))
}

// Every input is refused or decoded. A decoded envelope stays equal when it is encoded and
// decoded again.
func FuzzEnvelope(f *testing.F) {
	for _, e := range envelopes() {
		if p := e.append(nil); len(p) < 2000 {
			f.Add(p)
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		e, err := readEnvelope(p)
		require.Equal(t, before, p)
		if err != nil {
			require.True(t, errors.Is(err, errEnvelope) || errors.Is(err, errEnvelopeVersion))
			return
		}
		require.LessOrEqual(t, len(e.except)+len(e.messages)+len(e.names), len(p))
		require.LessOrEqual(t, len(e.messages), MaxVariants)
		again, err := readEnvelope(e.append(nil)) // the input may have had longer varints than necessary
		require.NoError(t, err)
		requireEnvelope(t, e, again)
		if e.hasMessages() {
			for v := range Variant(MaxVariants) {
				_ = e.prepared().forVariant(v)
			}
		}
	})
}

// The window finds the same numbers to be new as a set that remembers everything, except
// that it refuses numbers that are too old.
func TestWindow(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, spread := range []int{1, 100, windowSize - 1, 3 * windowSize} {
		var w window
		seen := map[uint64]bool{}
		var at, last uint64 = 1, 0
		for range 20_000 {
			at += uint64(rnd.IntN(3))
			if rnd.IntN(1000) == 0 {
				at += uint64(rnd.IntN(2 * windowSize))
			}
			s := at + uint64(rnd.IntN(spread))
			old := s+windowSize <= last
			require.Equal(t, !seen[s] && !old, w.add(s), "%d of spread %d", s, spread)
			seen[s] = true
			last = max(last, s)
		}
	}
	var w window
	require.True(t, w.add(math.MaxUint64))
	require.False(t, w.add(math.MaxUint64))
	require.False(t, w.add(1))

	w = window{}
	require.True(t, w.add(math.MaxUint64-2))
	require.True(t, w.add(math.MaxUint64), "just above another")
	require.True(t, w.add(math.MaxUint64-1))
}

// Nodes without recent messages are evicted for other nodes.
func TestRememberedNodesAreBounded(t *testing.T) {
	var s deduplicator
	name := func(i int) []byte { return []byte{byte(i >> 8), byte(i)} }
	for i := range maxSenders {
		require.True(t, s.isNew(name(i), 1))
	}
	require.False(t, s.isNew(name(0), 1)) // node 0 is now the most recent one
	for i := range 100 {
		require.True(t, s.isNew(name(maxSenders+i), 1))
	}
	require.Len(t, s.nodes, maxSenders)
	require.False(t, s.isNew(name(0), 1))
	require.False(t, s.isNew(name(200), 1))
	require.True(t, s.isNew(name(50), 1), "forgotten")
}

func TestTopics(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"", "a", "A", "a.b", "a b", "a*", ">", "a/b", "ä", "\xff", "\n", "=", "-", "a=b", strings.Repeat("x", 100), strings.Repeat("x", 101), strings.Repeat("x", 5000), strings.Repeat("y", 5000)} {
		for _, kind := range []string{"group", "user", "node"} {
			topic := topicOf(kind, name)
			require.Regexp(t, `^[A-Za-z0-9_=-]{1,120}$`, topic)
			require.NotContains(t, seen, topic, name)
			seen[topic] = name
		}
	}
	require.Equal(t, "group-lobby_1", topicOf("group", "lobby_1"))
	require.NotContains(t, seen, topicAll)
}

func TestPendingRemoteJoinsExpire(t *testing.T) {
	var d pendingRemoteJoins
	require.False(t, d.has("g", 0))
	d.add("g", 0, 10)
	require.True(t, d.has("g", 9))
	require.False(t, d.has("h", 9))
	require.False(t, d.has("g", 10))
	require.False(t, d.some.Load())
	for i := range 10_000 {
		d.add(string(rune(i)), 0, 10)
	}
	for i := range 10_000 {
		d.add(string(rune(20_000+i)), 100, 10)
	}
	require.LessOrEqual(t, len(d.groups), 10_000)
}

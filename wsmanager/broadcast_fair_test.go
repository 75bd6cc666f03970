package wsmanager

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// watched is a set that tells of each look-up of its members: one for each batch.
type watched struct {
	recipients
	lookups atomic.Int32
	look    func(n int)
}

func (w *watched) appendTo(list []recipient) []recipient {
	w.look(int(w.lookups.Add(1)))
	return w.recipients.appendTo(list)
}

// watch calls look before each batch of q is delivered, with the batch's number.
func watch(q *broadcastQueue, look func(n int)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.to = &watched{recipients: q.to, look: look}
}

// Whoever finds too many deferred broadcasts delivers these, and not what others
// broadcast meanwhile: that could go on for ever.
func TestBroadcastThatMakesRoomDeliversOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing leaves by its timer
		m, _ := fakeManager(t, Options{})
		tr := newFakeTransport(1 << 20)
		fakeConn(t, m, "a", tr, Accept{})
		epoch := m.batcher.enter()
		for i := range maxPending {
			m.Broadcast(Text(fmt.Sprint(i)))
		}
		returned := make(chan struct{})
		watch(&m.registry.queue, func(n int) {
			switch n {
			case 1:
				m.Broadcast(Text("of another"))
			case 2:
				select {
				case <-returned:
				case <-time.After(wstest.Patience):
					t.Error("the caller delivers what another has broadcast")
				}
			}
		})
		m.Broadcast(Text("last"))
		close(returned)
		m.batcher.leave(epoch)
		m.flushBatcher()
		idle(t, m)
		got := tr.frames(t)
		require.Len(t, got, maxPending+2)
		require.Equal(t, []string{"of another", "last"}, got[maxPending:])
	})
}

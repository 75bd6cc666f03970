//go:build !race

package hub_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// A stream of results that does nothing takes little memory, also after an item. What its method took to begin is gone.
func TestMemoryOfIdleStreams(t *testing.T) {
	type filter struct {
		Names  []string
		Limits map[string]int
	}
	const n = 200
	for name, row := range map[string]struct {
		method any
		items  int
		limit  int64 // bytes for each; it is about twice the usual number, and below that of a goroutine that runs the method
	}{
		"iter.Seq": {func(ctx *hub.Context, _ filter) iter.Seq[string] {
			return func(func(string) bool) { <-ctx.Done() }
		}, 0, 7000},
		"iter.Seq2 with arguments": {func(ctx context.Context, _ filter) iter.Seq2[filter, error] {
			return func(func(filter, error) bool) { <-ctx.Done() }
		}, 0, 7000},
		"iter.Seq2 after items": {func(ctx context.Context, _ filter) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				if yield(1, nil) && yield(2, nil) {
					<-ctx.Done()
				}
			}
		}, 2, 8500},
		"channel": {func(context.Context, filter) <-chan int { return make(chan int) }, 0, 8500},
		"channel after an item": {func(context.Context, filter) <-chan int {
			c := make(chan int, 1)
			c <- 1
			return c
		}, 1, 8500},
	} {
		t.Run(name, func(t *testing.T) {
			runInFakeTime(t, hub.Methods{"Idle": row.method}, hub.Options{}, func(t *testing.T, h *hub.Hub) {
				p := dialHandler(t, h, "/hub").shake()
				begin := func(id int) {
					p.send(fmt.Sprintf(`{"type":4,"invocationId":"%d","target":"Idle","arguments":[{"Names":["a","b"],"Limits":{"c":1}}]}`, id))
					for range row.items {
						p.record()
					}
					synctest.Wait()
				}
				begin(0) // fills the pools
				before := live()
				for id := 1; id <= n; id++ {
					begin(id)
				}
				require.Equal(t, n+1, h.Stats().PendingCalls)
				require.Less(t, (live()-before)/n, row.limit)
				p.Kill()
				time.Sleep(time.Second)
			})
		})
	}
}

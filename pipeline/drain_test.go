package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A drain that ignores its context does not block Serve, and the error names it.
func TestDrainThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), DrainTimeout)
		defer cancel()
		release := make(chan struct{})
		late := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		stuck := func(context.Context) error { <-release; return nil }
		start := time.Now()
		errs := drainAll(ctx, []func(context.Context) error{late, stuck, stuck})
		require.Len(t, errs, 2)
		require.ErrorIs(t, errs[0], context.DeadlineExceeded)
		require.ErrorContains(t, errs[1], "2 drains have not returned")
		require.Equal(t, DrainTimeout+drainGrace, time.Since(start))
		close(release)
	})
}

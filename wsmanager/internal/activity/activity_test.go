package activity

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestWaitWaitsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counter
		require.True(t, c.Wait(t.Context()), "nothing has begun")
		c.Add()
		c.Add()
		results := make(chan bool, 2)
		for range cap(results) {
			go func() { results <- c.Wait(t.Context()) }()
		}
		synctest.Wait()
		c.Done()
		c.Add() // during the waits
		c.Done()
		synctest.Wait()
		require.Empty(t, results, "one has not ended")
		c.Done()
		require.True(t, <-results)
		require.True(t, <-results)
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counter
		c.Add()
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan bool)
		go func() { result <- c.Wait(ctx) }()
		synctest.Wait()
		cancel()
		require.False(t, <-result)
		c.Done()
		require.True(t, c.Wait(ctx), "nothing is left, although the context has ended")
	})
}

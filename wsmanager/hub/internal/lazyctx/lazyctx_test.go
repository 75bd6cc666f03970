package lazyctx

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type key struct{}

var errFirst, errSecond = errors.New("first"), errors.New("second")

// Whatever happens, and whether the real context is made before, in between or afterwards, the context tells the same as one of
// package context.
func TestBehavesLikePackageContext(t *testing.T) {
	type both struct {
		lazy         *Context
		std          context.Context
		cancelStd    context.CancelCauseFunc
		cancelParent context.CancelCauseFunc
	}
	cancel := func(err error) func(*both) {
		return func(b *both) { b.lazy.Cancel(err); b.cancelStd(err) }
	}
	parent := func(err error) func(*both) { return func(b *both) { b.cancelParent(err) } }
	for _, tt := range []struct {
		name  string
		steps []func(*both)
	}{
		{"nothing", nil},
		{"canceled", []func(*both){cancel(errFirst)}},
		{"canceled twice", []func(*both){cancel(errFirst), cancel(errSecond)}},
		{"parent canceled", []func(*both){parent(errFirst)}},
		{"parent canceled, then canceled", []func(*both){parent(errFirst), cancel(errSecond)}},
		{"canceled, then parent canceled", []func(*both){cancel(errFirst), parent(errSecond)}},
	} {
		for realizeAt := -1; realizeAt <= len(tt.steps); realizeAt++ {
			base, stop := context.WithDeadline(context.WithValue(t.Context(), key{}, "value"), time.Now().Add(time.Hour))
			t.Cleanup(stop)
			p, cancelParent := context.WithCancelCause(base)
			b := &both{lazy: &Context{}, cancelParent: cancelParent}
			b.lazy.Init(p)
			b.std, b.cancelStd = context.WithCancelCause(p)
			for i, step := range tt.steps {
				if i == realizeAt {
					b.lazy.Done()
				}
				step(b)
				require.Equal(t, context.Cause(b.std), b.lazy.Cause(), tt.name)
				require.Equal(t, b.std.Err(), b.lazy.Err(), tt.name)
			}
			require.Equal(t, context.Cause(b.std), context.Cause(b.lazy), tt.name)
			require.Equal(t, context.Cause(b.std), b.lazy.Cause(), tt.name)
			require.Equal(t, b.std.Err(), b.lazy.Err(), tt.name)
			require.Equal(t, "value", b.lazy.Value(key{}), tt.name)
			wantDeadline, _ := b.std.Deadline()
			deadline, ok := b.lazy.Deadline()
			require.True(t, ok)
			require.Equal(t, wantDeadline, deadline)
			if b.std.Err() != nil {
				<-b.lazy.Done()
			}
		}
	}
}

// Derived contexts end with their cause, without a goroutine for each.
func TestDerived(t *testing.T) {
	var c Context
	c.Init(t.Context())
	child, cancel := context.WithTimeout(&c, time.Hour)
	defer cancel()
	called := make(chan struct{})
	context.AfterFunc(child, func() { close(called) })
	c.Cancel(errFirst)
	<-child.Done()
	<-called
	require.Equal(t, errFirst, context.Cause(child))
}

func TestRaceOfCancelAndDone(t *testing.T) {
	for range 1000 {
		var c Context
		c.Init(t.Context())
		go c.Cancel(errFirst)
		<-c.Done()
		require.Equal(t, errFirst, context.Cause(&c))
	}
}

// A context that is not looked at allocates nothing.
func TestNoAllocation(t *testing.T) {
	parent, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c := &Context{}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		*c = Context{}
		c.Init(parent)
		_ = c.Err()
		_ = c.Cause()
		c.Cancel(errFirst)
	}))
}

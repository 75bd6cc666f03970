package backplanetest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// failuresOf runs one guarantee's test on a bus, and returns its failures.
func failuresOf(t *testing.T, name string, bus func(testing.TB) *brokenBus) (failures []string) {
	t.Helper()
	at := slices.IndexFunc(guarantees, func(g guarantee) bool { return g.name == name })
	require.GreaterOrEqual(t, at, 0, "no guarantee %q", name)
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{TB: t}
		rec.run(func() {
			guarantees[at].check(rec, func(t testing.TB) Bus {
				s := bus(t)
				b := Bus{Node: func() wsmanager.Backplane { return s }}
				if s.cut != nil {
					b.Cut = func() (restore func()) { return s.cut(s) }
				}
				return b
			})
		})
		failures = rec.failures
	})
	return failures
}

// recorder is a testing.TB that records failures and does not fail itself.
type recorder struct {
	testing.TB

	mu       sync.Mutex // guards the fields below
	failures []string
	cleanups []func()
}

// run runs a test and its cleanups.
func (r *recorder) run(test func()) {
	async(test)()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		async(f)()
	}
}

func (r *recorder) record(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, text)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Error(args ...any)                 { r.record(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.record(fmt.Sprintf(format, args...)) }
func (r *recorder) Fail()                             { r.record("Fail") }
func (r *recorder) FailNow()                          { r.record("FailNow"); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Helper()                           {}

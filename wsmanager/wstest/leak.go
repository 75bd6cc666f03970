package wstest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// Main runs the tests of a package and fails if goroutines are left over when
// they have ended. m is the *testing.M, or something that runs it more than once:
//
//	func TestMain(m *testing.M) { wstest.Main(m) }
func Main(m interface{ Run() int }) {
	before := runtime.NumGoroutine()
	code := m.Run()
	// The fuzzing engine leaves a goroutine of its own behind.
	if fuzzing := flag.Lookup("test.fuzz"); code == 0 && (fuzzing == nil || fuzzing.Value.String() == "") {
		if err := settled(before); err != nil {
			fmt.Fprintln(os.Stderr, err)
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // for the reader; the failure stands
			code = 1
		}
	}
	os.Exit(code)
}

// settled waits for goroutines that are about to end, and returns an error if
// there are more than before.
func settled(before int) error {
	deadline := time.Now().Add(Patience)
	for {
		n := runtime.NumGoroutine()
		if n <= before {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wstest: %d goroutines are left over", n-before)
		}
		time.Sleep(10 * time.Millisecond) // nothing tells when a goroutine is gone
	}
}

package wstest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// Main runs the tests of a package, and fails if goroutines are left over when they have
// ended. m is the *testing.M, or a wrapper that runs it more than once:
//
//	func TestMain(m *testing.M) { wstest.Main(m) }
func Main(m interface{ Run() int }) {
	before := runtime.NumGoroutine()
	code := m.Run()
	// The fuzzing engine leaves a goroutine of its own behind.
	if fuzzing := flag.Lookup("test.fuzz"); code == 0 && (fuzzing == nil || fuzzing.Value.String() == "") {
		if err := awaitGoroutines(before); err != nil {
			fmt.Fprintln(os.Stderr, err)
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // for the reader; the exit code is 1 anyway
			code = 1
		}
	}
	os.Exit(code)
}

// awaitGoroutines waits for goroutines that are about to end, and returns an error if there
// are still more than before.
func awaitGoroutines(before int) error {
	deadline := time.Now().Add(Patience)
	for {
		n := runtime.NumGoroutine()
		if n <= before {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wstest: %d goroutines are left over", n-before)
		}
		time.Sleep(10 * time.Millisecond) // the end of a goroutine sends no notification
	}
}

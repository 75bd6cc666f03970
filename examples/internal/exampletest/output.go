package exampletest

import (
	"bytes"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Output is what a program prints. It can be read while it is written.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns the whole output so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// WaitFor waits until the output matches, and returns the match and its groups.
func (o *Output) WaitFor(t testing.TB, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(wstest.Patience); ; time.Sleep(2 * time.Millisecond) {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q was printed:\n%s", pattern, o)
		}
	}
}

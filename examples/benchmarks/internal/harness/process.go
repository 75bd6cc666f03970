package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Process is a process id. The figures of its methods come from /proc.
type Process int

// Self returns this process.
func Self() Process { return Process(os.Getpid()) }

// RSS returns the resident memory in bytes, or 0 if it is unknown.
func (p Process) RSS() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p)) // empty if it can't be read
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes numbers
	return pages * int64(os.Getpagesize())
}

// CPU returns the user and system time that the process has used, in steps of 10 ms, or
// 0 if it is unknown.
func (p Process) CPU() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p)) // empty if it can't be read
	// The second field, in parentheses, may contain anything; utime and stime are the
	// 14th and 15th.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64) // the kernel writes numbers
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100)
}

// Descriptors returns the number of open files, or -1 if it is unknown. For this process
// it includes the descriptor that is open while it counts.
func (p Process) Descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p))
	if err != nil {
		return -1
	}
	return len(entries)
}
